/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user network: microvm-netd in a process of its own, one for each device, with two
 * sockets to it. Frames go over a packet socket exactly as over one that the user gave;
 * a line of JSON each way over the other asks for forwards and counters.
 *
 * The helper ends when these sockets are closed, so it never outlives its machine. When
 * it ends before, the link goes down.
 */
#include "backing/net_user.h"

#include "backing/net_gram.h"
#include "backing/net_impl.h"
#include "os/error.h"
#include "os/helper.h"
#include "os/socket.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MS = 10000,
    ANSWER_MAX = 4096,
    USER_MTU = 65520,      /* frames never leave this computer: as large as they go */
    SOCKET_BYTES = 1 << 20 /* some frames of that size; the system may give less */
};

struct user {
    struct mv_net_gram gram; /* first: it is a struct mv_net */
    struct mv_helper helper;
    uv_mutex_t lock; /* one asks at a time */
    intptr_t control;
};

static struct user *user_of(struct mv_net *net)
{
    return (struct user *)(void *)net;
}

/* ---- asking ---------------------------------------------------------------------- */

static int control_failed(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_IO, "net 'user': microvm-netd does not answer");
}

static int control_write(intptr_t control, const char *text, size_t length,
                         microvm_error *err)
{
    while (length > 0) {
        int64_t n = mv_socket_write(control, text, length);
        if (n == MV_SOCKET_GONE ||
            (n == MV_SOCKET_AGAIN && mv_socket_wait(control, 1, ANSWER_MS) != 1))
            return control_failed(err);
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

/* One line; the helper says nothing that it was not asked for. */
static int control_read(intptr_t control, char line[ANSWER_MAX], microvm_error *err)
{
    size_t length = 0;
    while (length < ANSWER_MAX) {
        int64_t n = mv_socket_read(control, line + length, ANSWER_MAX - length);
        if (n == 0 || n == MV_SOCKET_GONE ||
            (n == MV_SOCKET_AGAIN && mv_socket_wait(control, 0, ANSWER_MS) != 1))
            return control_failed(err);
        if (n > 0)
            length += (size_t)n;
        if (length > 0 && line[length - 1] == '\n') {
            line[length - 1] = '\0';
            return 0;
        }
    }
    return control_failed(err);
}

/* *answer is the caller's. The request is taken over. */
static int control_ask(intptr_t control, json_t *request, json_t **answer,
                       microvm_error *err)
{
    char line[ANSWER_MAX];
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "net 'user': no memory");
    int rc = control_write(control, text, strlen(text), err);
    free(text);
    if (!rc)
        rc = control_write(control, "\n", 1, err);
    if (!rc)
        rc = control_read(control, line, err);
    if (rc)
        return rc;
    json_t *got = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(got, "error"));
    if (error)
        rc = mv_fail(err, MICROVM_E_INVALID, "net 'user': %s", error);
    else if (!json_is_true(json_object_get(got, "ok")))
        rc = control_failed(err);
    if (rc || !answer)
        json_decref(got);
    else
        *answer = got;
    return rc;
}

static int user_ask(struct mv_net *net, json_t *request, json_t **answer,
                    microvm_error *err)
{
    struct user *user = user_of(net);
    uv_mutex_lock(&user->lock);
    int rc = control_ask(user->control, request, answer, err);
    uv_mutex_unlock(&user->lock);
    return rc;
}

int mv_net_user_forward(struct mv_net *net, const char *text, bool add,
                        microvm_error *err)
{
    return user_ask(
        net, json_pack("{s:s, s:s}", "do", "forward", add ? "add" : "remove", text),
        NULL, err);
}

static uint64_t counter(const json_t *answer, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(answer, key));
}

int mv_net_user_stats(struct mv_net *net, struct mv_net_user_stats *out,
                      microvm_error *err)
{
    json_t *answer;
    int rc = user_ask(net, json_pack("{s:s}", "do", "stats"), &answer, err);
    if (rc)
        return rc;
    out->refused_connections = counter(answer, "refused_connections");
    out->refused_names = counter(answer, "refused_names");
    out->refused_answers = counter(answer, "refused_answers");
    json_decref(answer);
    return 0;
}

/* ---- open and close -------------------------------------------------------------- */

static json_t *list_of(const struct mv_config_list *texts)
{
    json_t *list = json_array();
    for (unsigned i = 0; texts && i < texts->count; i++)
        (void)json_array_append_new(list, json_string(texts->text[i]));
    return list;
}

static json_t *open_request(const struct mv_net_config *config)
{
    const struct mv_net_user_config *user = config->user;
    return json_pack("{s:s, s:i, s:b, s:b, s:b, s:o, s:o}", "do", "open", "mtu",
                     config->mtu ? config->mtu : USER_MTU, "ipv6", !config->no_ipv6,
                     "restrict", config->restricted, "host", !config->no_host, "rules",
                     list_of(user->rule), "forwards", list_of(user->forward));
}

static int helper_start(struct mv_helper *helper, const char *program,
                        const intptr_t ends[2], microvm_error *err)
{
    char path[MV_HELPER_PATH];
    if (program)
        return mv_helper_start(helper, program, ends, 2, err);
    if (!mv_helper_find("microvm-netd", path))
        return mv_fail(
            err, MICROVM_E_UNSUPPORTED,
            "net 'user': the program microvm-netd is not installed ('%s' is "
            "not there): name it with netd, or use tap=NAME, unixstream=PATH "
            "(passt) or none",
            path);
    return mv_helper_start(helper, path, ends, 2, err);
}

static void pair_close(intptr_t pair[2])
{
    for (unsigned i = 0; i < 2; i++) {
        mv_socket_close(pair[i]);
        pair[i] = MV_SOCKET_NONE;
    }
}

static int frames_pair(intptr_t pair[2], microvm_error *err)
{
    int fd[2], size = SOCKET_BYTES;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd))
        return mv_fail_os(err, "net 'user': making a socket");
    for (unsigned i = 0; i < 2; i++) {
        (void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        pair[i] = fd[i];
    }
    return 0;
}

static const struct mv_net_ops user_ops;

static int user_open(const struct mv_net_config *config, struct mv_loop *loop,
                     intptr_t frames[2], intptr_t control[2], struct user **out,
                     microvm_error *err)
{
    struct mv_helper helper = MV_HELPER_NONE;
    struct mv_net_watch *watch;
    intptr_t theirs[2] = {frames[1], control[1]};
    int rc = helper_start(&helper, config->user->program, theirs, err);
    if (!rc) {
        mv_socket_close(frames[1]); /* so that its end is seen */
        mv_socket_close(control[1]);
        frames[1] = control[1] = MV_SOCKET_NONE;
        rc = control_ask(control[0], open_request(config), NULL, err);
    }
    if (!rc) {
        int fd = (int)frames[0];
        frames[0] = MV_SOCKET_NONE;
        rc = mv_net_watch_open(sizeof(struct user), fd, loop, &user_ops, "user", &watch,
                               err);
    }
    if (rc) {
        mv_helper_stop(&helper);
        return rc;
    }
    *out = user_of(&watch->net);
    (*out)->gram.ends = true;
    (*out)->helper = helper;
    return 0;
}

int mv_net_user_open(const struct mv_net_config *config, struct mv_loop *loop,
                     const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    intptr_t frames[2] = {MV_SOCKET_NONE, MV_SOCKET_NONE};
    intptr_t control[2] = {MV_SOCKET_NONE, MV_SOCKET_NONE};
    struct user *user = NULL;
    (void)log;
    int rc = frames_pair(frames, err);
    if (!rc)
        rc = mv_socket_pair(control, err);
    if (!rc)
        rc = user_open(config, loop, frames, control, &user, err);
    if (rc) {
        pair_close(frames);
        pair_close(control);
        return rc;
    }
    user->control = control[0];
    (void)uv_mutex_init(&user->lock); /* needs nothing that can run out, on Linux */
    user->gram.watch.net.mtu = USER_MTU;
    *out = &user->gram.watch.net;
    return 0;
}

static void user_close(struct mv_net *net)
{
    struct user *user = user_of(net);
    mv_socket_close(user->control);
    mv_helper_stop(&user->helper);
    uv_mutex_destroy(&user->lock);
    mv_net_watch_close(net);
}

static const struct mv_net_ops user_ops = {.name = "user",
                                           .receive = mv_net_gram_receive,
                                           .send = mv_net_gram_send,
                                           .listen = mv_net_watch_listen,
                                           .close = user_close};

bool mv_net_is_user(const struct mv_net *net)
{
    return net->ops == &user_ops;
}
