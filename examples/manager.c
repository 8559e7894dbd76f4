/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an application does that has a VPN in a guest: start_vm, stop_vm and get_status
 * over microvm/runtime.h, and commands of the VPN daemon (proto/vpn.md) as JSON over
 * the guest's port 1025. manager KERNEL [INITRD [CMDLINE]], or manager BUNDLE, which
 * has settings of its own, reads words from standard input, a line each:
 *
 *     start    status    stop
 *     connect FILE.ovpn [USER PASSWORD]    vpn    disconnect
 *     socks [ADDR:]PORT                    a SOCKS5 server through the VPN
 */
#include <jansson.h>
#include <microvm/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DAEMON_PORT = 1025,
    ANSWER_MS = 5000, /* the daemon answers within 4 s, also a start */
    BOOT_MS = 60000,
    SHUTDOWN_MS = 10000,
    PROFILE_MAX = 1 << 20,
    WORDS = 4
};

struct manager {
    microvm_runtime_config config;
    microvm_runtime *vm; /* NULL: not started */
    microvm_client *client;
};

/* -- the daemon -- */

/* Takes the command. Its answer, to be released; NULL, and *err: there was none, or it
 * says "error". */
static json_t *daemon_ask(const struct manager *m, json_t *command, int64_t timeout_ms,
                          microvm_error *err)
{
    char *text = json_dumps(command, JSON_COMPACT), *reply = NULL;
    size_t length;
    json_t *answer = NULL;
    json_decref(command);
    if (!text)
        return NULL;
    int rc = microvm_client_request(m->client, DAEMON_PORT, text, strlen(text),
                                    timeout_ms, &reply, &length, err);
    free(text);
    if (!rc) {
        answer = json_loadb(reply, length, JSON_REJECT_DUPLICATES, NULL);
        microvm_string_free(reply);
        err->code = MICROVM_E_IO;
        (void)snprintf(err->message, sizeof err->message,
                       "the daemon's answer is none");
    }
    const char *status = json_string_value(json_object_get(answer, "status"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (status && strcmp(status, "error"))
        return answer;
    if (status)
        (void)snprintf(err->message, sizeof err->message, "the daemon: %s",
                       error ? error : "an error without words");
    json_decref(answer);
    return NULL;
}

static json_t *command_new(const char *name)
{
    return json_pack("{s:s}", "cmd", name);
}

static int answer_say(json_t *answer, const microvm_error *err)
{
    if (!answer) {
        printf("error: %s\n", err->message);
        return -1;
    }
    const char *status = json_string_value(json_object_get(answer, "status"));
    const char *address = json_string_value(json_object_get(answer, "tun_ip"));
    const char *url = json_string_value(json_object_get(answer, "auth_url"));
    printf("%s%s%s%s%s\n", status, address ? " " : "", address ? address : "",
           url ? " " : "", url ? url : "");
    json_decref(answer);
    return 0;
}

/* -- the machine -- */

static int start_vm(struct manager *m, microvm_error *err)
{
    if (m->vm)
        return 0;
    m->vm = microvm_runtime_new(&m->config, &m->client, err);
    if (!m->vm)
        return err->code;
    int rc = microvm_runtime_spawn(m->vm, err);
    json_t *pong = rc ? NULL : daemon_ask(m, command_new("ping"), BOOT_MS, err);
    if (pong) {
        json_decref(pong);
        return 0;
    }
    microvm_client_free(m->client);
    microvm_runtime_free(m->vm);
    m->vm = NULL;
    return err->code;
}

/* The daemon takes the tunnel down first; a guest that does not end then is ended. */
static void stop_vm(struct manager *m)
{
    microvm_error err = {0};
    if (!m->vm)
        return;
    json_decref(daemon_ask(m, command_new("shutdown"), ANSWER_MS, &err));
    if (microvm_runtime_shutdown(m->vm, SHUTDOWN_MS, &err))
        printf("killed: %s\n", err.message);
    microvm_client_free(m->client);
    microvm_runtime_free(m->vm);
    m->vm = NULL;
}

static void get_status(const struct manager *m)
{
    microvm_error err = {0};
    if (!m->vm || !microvm_runtime_is_running(m->vm)) {
        printf("stopped\n");
        return;
    }
    json_t *pong = daemon_ask(m, command_new("ping"), ANSWER_MS, &err);
    printf("%s\n", pong ? "running" : err.message);
    json_decref(pong);
}

/* -- the VPN -- */

static json_t *profile_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = file ? malloc(PROFILE_MAX) : NULL;
    size_t n = text ? fread(text, 1, PROFILE_MAX, file) : 0;
    json_t *content = n > 0 && n < PROFILE_MAX ? json_stringn(text, n) : NULL;
    free(text);
    if (file)
        (void)fclose(file);
    return content;
}

static void vpn_connect(const struct manager *m, char **word)
{
    microvm_error err = {0};
    const char *slash = strrchr(word[1], '/'), *name = slash ? slash + 1 : word[1];
    json_t *content = profile_read(word[1]);
    if (!content) {
        printf("error: %s: no profile that can be read\n", word[1]);
        return;
    }
    json_t *command = json_pack("{s:s, s:s, s:o}", "cmd", "vpn_set_profile", "name",
                                name, "content", content);
    json_t *answer = daemon_ask(m, command, ANSWER_MS, &err);
    if (answer) {
        json_decref(answer);
        command = json_pack("{s:s, s:s, s:s*, s:s*}", "cmd", "vpn_start", "profile",
                            name, "username", word[2], "password", word[3]);
        answer = daemon_ask(m, command, ANSWER_MS, &err);
    }
    (void)answer_say(answer, &err);
}

static void vpn_ask(const struct manager *m, const char *name)
{
    microvm_error err = {0};
    (void)answer_say(daemon_ask(m, command_new(name), ANSWER_MS, &err), &err);
}

static void socks_open(const struct manager *m, const char *place)
{
    microvm_error err = {0};
    uint16_t port;
    if (microvm_socks_open(microvm_runtime_machine(m->vm), place, &port, &err))
        printf("error: %s\n", err.message);
    else
        printf("socks %u\n", port);
}

/* -- words -- */

static void obey(struct manager *m, char **word)
{
    microvm_error err = {0};
    if (!strcmp(word[0], "start"))
        printf("%s\n", start_vm(m, &err) ? err.message : "started");
    else if (!strcmp(word[0], "status"))
        get_status(m);
    else if (!strcmp(word[0], "stop"))
        stop_vm(m);
    else if (!m->vm)
        printf("error: start first\n");
    else if (!strcmp(word[0], "connect") && word[1])
        vpn_connect(m, word);
    else if (!strcmp(word[0], "vpn"))
        vpn_ask(m, "vpn_status");
    else if (!strcmp(word[0], "disconnect"))
        vpn_ask(m, "vpn_stop");
    else if (!strcmp(word[0], "socks") && word[1])
        socks_open(m, word[1]);
    else
        printf(
            "error: start, status, stop, connect FILE, vpn, disconnect, socks PORT\n");
    (void)fflush(stdout);
}

static int is_bundle(const char *folder)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *file = fopen(path, "rb");
    if (file)
        (void)fclose(file);
    return file != NULL;
}

int main(int argc, char **argv)
{
    struct manager m = {.config = MICROVM_RUNTIME_CONFIG_INIT};
    microvm_config *bundle = microvm_config_new();
    microvm_error err = {0};
    char line[4096];
    if (argc == 2 && bundle && is_bundle(argv[1])) {
        if (microvm_config_load_bundle(bundle, argv[1], &err)) {
            (void)fprintf(stderr, "manager: %s\n", err.message);
            microvm_config_free(bundle);
            return 1;
        }
        m.config.machine = bundle;
        m.config.memory_mb = 0;
    } else {
        m.config.memory_mb = 128;
        m.config.kernel_path = argc > 1 ? argv[1] : NULL;
        m.config.initrd_path = argc > 2 ? argv[2] : NULL;
        m.config.cmdline = argc > 3 ? argv[3] : "quiet";
    }
    while (fgets(line, sizeof line, stdin)) {
        char *word[WORDS] = {NULL}, *rest = line;
        for (unsigned i = 0; i < WORDS; i++) {
            rest += strspn(rest, " \n");
            word[i] = *rest ? rest : NULL;
            rest += strcspn(rest, " \n");
            if (*rest)
                *rest++ = '\0';
        }
        if (word[0])
            obey(&m, word);
    }
    stop_vm(&m);
    microvm_config_free(bundle);
    return 0;
}
