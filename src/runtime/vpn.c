/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A VPN gateway's daemon, asked. The words are proto/vpn's, which host and guest share;
 * here is where they meet a connection. What comes is a guest's word: it is read
 * strictly, and texts are handed on as they are.
 */
#include "proto/vpn.h"
#include "os/socket.h"
#include "runtime/runtime.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

/* What an answer keeps. */
struct vpn_memory {
    json_t *json;
    const char *profiles[]; /* ends with NULL */
};

static int vpn_request_text(const microvm_vpn_request *request, char **text,
                            microvm_error *err)
{
    struct vpn_request words = {.detail = true,
                                .profile = request->profile,
                                .username = request->username,
                                .password = request->password,
                                .response = request->response,
                                .key_password = request->key_password,
                                .name = request->name,
                                .content = request->content,
                                .auth = request->auth};
    unsigned command = 0;
    while (command < VPN_COMMANDS && request->command &&
           strcmp(vpn_command_name((enum vpn_command)command), request->command) != 0)
        command++;
    if (command == VPN_COMMANDS || !request->command)
        return mv_fail(err, MICROVM_E_INVALID, "vpn: there is no command '%.40s'",
                       request->command ? request->command : "");
    words.command = (enum vpn_command)command;
    *text = vpn_request_write(&words);
    return *text ? 0
                 : mv_fail(err, MICROVM_E_INVALID,
                           "vpn: a text of the request is no UTF-8");
}

/* Takes over what `from` owns. */
static int vpn_answer_keep(struct vpn_answer *from, microvm_vpn_answer *out,
                           microvm_error *err)
{
    size_t count = json_array_size(from->profiles);
    struct vpn_memory *memory =
        malloc(sizeof *memory + (count + 1) * sizeof memory->profiles[0]);
    if (!memory) {
        vpn_answer_free(from);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "vpn: no memory for the answer");
    }
    for (size_t i = 0; i < count; i++)
        memory->profiles[i] = json_string_value(json_array_get(from->profiles, i));
    memory->profiles[count] = NULL;
    memory->json = from->json;
    microvm_vpn_answer answer = {.size = out->size,
                                 .status = (int32_t)from->status,
                                 .tun_ip = from->tun_ip,
                                 .error = from->error,
                                 .auth_url = from->auth_url,
                                 .auth_secret = from->auth_secret,
                                 .challenge = from->challenge,
                                 .state = from->state,
                                 .profile = from->profile,
                                 .profiles = from->profiles ? memory->profiles : NULL,
                                 .memory = memory};
    memcpy(out, &answer, MV_MIN((size_t)out->size, sizeof answer));
    return 0;
}

static int vpn_ask_on(microvm_client *client, intptr_t connection,
                      const microvm_vpn_request *request, int64_t timeout_ms,
                      microvm_vpn_answer *out, microvm_error *err)
{
    microvm_vpn_request all = MICROVM_VPN_REQUEST_INIT;
    struct vpn_answer answer;
    char *text = NULL, *reply;
    size_t length;
    memcpy(&all, request, MV_MIN((size_t)request->size, sizeof all));
    int rc = vpn_request_text(&all, &text, err);
    if (!rc)
        rc = mv_client_request_on(client, connection, text, strlen(text), timeout_ms,
                                  &reply, &length, err);
    if (text)
        mv_wipe(text, strlen(text)); /* passwords, a profile's keys */
    free(text);
    if (rc)
        return rc;
    bool read = vpn_answer_read(reply, length, &answer);
    free(reply);
    if (!read)
        return mv_fail(err, MICROVM_E_IO, "vpn: what came is no answer of its daemon");
    return vpn_answer_keep(&answer, out, err);
}

int microvm_vpn_ask_on(intptr_t connection, const microvm_vpn_request *request,
                       int64_t timeout_ms, microvm_vpn_answer *out, microvm_error *err)
{
    return vpn_ask_on(NULL, connection, request, timeout_ms, out, err);
}

int microvm_vpn_ask(microvm_client *client, const microvm_vpn_request *request,
                    int64_t timeout_ms, microvm_vpn_answer *out, microvm_error *err)
{
    uint64_t began = mv_socket_now_ms();
    intptr_t connection;
    int rc =
        microvm_client_connect(client, MICROVM_VPN_PORT, timeout_ms, &connection, err);
    if (rc)
        return rc;
    rc = vpn_ask_on(client, connection, request, mv_socket_left_ms(timeout_ms, began),
                    out, err);
    microvm_client_close(connection);
    return rc;
}

void microvm_vpn_answer_free(microvm_vpn_answer *answer)
{
    if (!answer || !answer->memory)
        return;
    struct vpn_memory *memory = answer->memory;
    json_decref(memory->json);
    free(memory);
    answer->memory = NULL;
}
