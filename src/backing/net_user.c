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
    char *program;           /* NULL: wherever it is found */
    json_t *open;            /* the request that every helper begins with */
    uv_mutex_t turn;         /* one restarts at a time; taken before lock */
    uv_mutex_t lock;         /* one asks at a time; what follows */
    struct mv_helper helper;
    intptr_t control;
    bool deaf;        /* an answer did not come, and may still: not asked again */
    json_t *forwards; /* that are open: where each one listens, and its text */
    struct mv_net_user_stats last, before; /* of this helper, of those before it */
};

static struct user *user_of(struct mv_net *net)
{
    return (struct user *)(void *)net;
}

/* ---- asking ---------------------------------------------------------------------- */

static int control_failed(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_IO,
                   "net 'user': microvm-netd does not answer: it has ended, or hangs, "
                   "and can be restarted");
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

/* As control_ask, with the lock held. An answer that is late would be taken for that of
 * the next request, and who waits for one stands still: so the first one that does not
 * come is the last one that is waited for, until the next restart. */
static int user_ask(struct user *user, json_t *request, json_t **answer,
                    microvm_error *err)
{
    if (user->deaf) {
        json_decref(request);
        return control_failed(err);
    }
    int rc = control_ask(user->control, request, answer, err);
    user->deaf = rc == MICROVM_E_IO;
    return rc;
}

/* ---- forwards and counters ------------------------------------------------------- */

static json_t *forward_request(const char *text, bool add)
{
    return json_pack("{s:s, s:s}", "do", "forward", add ? "add" : "remove", text);
}

/* The helper says where a forward listens, which can be written in many ways. */
static void forward_note(json_t *forwards, const json_t *answer, const char *text,
                         bool add)
{
    const char *at = json_string_value(json_object_get(answer, "at"));
    if (at && add)
        (void)json_object_set_new(forwards, at, json_string(text));
    else if (at)
        (void)json_object_del(forwards, at);
}

/* Without a helper to ask: true if there was one of this text. */
static bool forward_forget(json_t *forwards, const char *text)
{
    const char *at;
    json_t *value;
    json_object_foreach(forwards, at, value)
    {
        if (!strcmp(json_string_value(value), text))
            return json_object_del(forwards, at) == 0;
    }
    return false;
}

int mv_net_user_forward(struct mv_net *net, const char *text, bool add,
                        microvm_error *err)
{
    struct user *user = user_of(net);
    microvm_error why;
    json_t *answer = NULL;
    uv_mutex_lock(&user->lock);
    int rc = user_ask(user, forward_request(text, add), &answer, &why);
    if (!rc)
        forward_note(user->forwards, answer, text, add);
    json_decref(answer);
    if (rc == MICROVM_E_IO && !add && forward_forget(user->forwards, text))
        rc = 0;
    uv_mutex_unlock(&user->lock);
    return rc ? mv_fail_again(err, &why) : 0;
}

static uint64_t counter(const json_t *answer, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(answer, key));
}

/* With the lock held. */
static int user_count(struct user *user, microvm_error *err)
{
    json_t *answer;
    int rc = user_ask(user, json_pack("{s:s}", "do", "stats"), &answer, err);
    if (rc)
        return rc;
    user->last.refused_connections = counter(answer, "refused_connections");
    user->last.refused_names = counter(answer, "refused_names");
    user->last.refused_answers = counter(answer, "refused_answers");
    user->last.refused_frames = counter(answer, "refused_malformed");
    json_decref(answer);
    return 0;
}

static struct mv_net_user_stats stats_sum(const struct mv_net_user_stats *a,
                                          const struct mv_net_user_stats *b)
{
    return (struct mv_net_user_stats){a->refused_connections + b->refused_connections,
                                      a->refused_names + b->refused_names,
                                      a->refused_answers + b->refused_answers,
                                      a->refused_frames + b->refused_frames};
}

void mv_net_user_stats(struct mv_net *net, struct mv_net_user_stats *out)
{
    struct user *user = user_of(net);
    uv_mutex_lock(&user->lock);
    (void)user_count(user, NULL); /* of one that is gone, what was asked last counts */
    *out = stats_sum(&user->before, &user->last);
    uv_mutex_unlock(&user->lock);
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
    return json_pack("{s:s, s:i, s:b, s:b, s:b, s:o}", "do", "open", "mtu",
                     config->mtu ? config->mtu : USER_MTU, "ipv6", !config->no_ipv6,
                     "restrict", config->restricted, "host", !config->no_host, "rules",
                     list_of(config->user->rule));
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
            "not there; a build without libslirp has none): name it with netd, or use "
            "tap=NAME, unixstream=PATH (passt) or none",
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

/* A helper that is open, and our ends of its sockets. */
struct end {
    struct mv_helper helper;
    intptr_t control;
    int frames;
};

static int end_ask(intptr_t control, json_t *open, const json_t *texts,
                   json_t *forwards, const struct mv_log *log, microvm_error *err)
{
    json_t *answer = NULL;
    int rc = control_ask(control, json_incref(open), &answer, err);
    if (!rc && json_is_false(json_object_get(answer, "landlock")))
        mv_log(log, MICROVM_LOG_WARNING,
               "net 'user': the kernel has no Landlock: microvm-netd may open files");
    for (size_t i = 0; !rc && i < json_array_size(texts); i++) {
        const char *text = json_string_value(json_array_get(texts, i));
        json_decref(answer);
        answer = NULL;
        rc = control_ask(control, forward_request(text, true), &answer, err);
        if (!rc)
            forward_note(forwards, answer, text, true);
    }
    json_decref(answer);
    return rc;
}

/* Starts a helper and opens `texts`, which fills `forwards`. */
static int end_open(const char *program, json_t *open, const json_t *texts,
                    json_t *forwards, const struct mv_log *log, struct end *out,
                    microvm_error *err)
{
    intptr_t frames[2] = {MV_SOCKET_NONE, MV_SOCKET_NONE};
    intptr_t control[2] = {MV_SOCKET_NONE, MV_SOCKET_NONE};
    struct mv_helper helper = MV_HELPER_NONE;
    int rc = frames_pair(frames, err);
    if (!rc)
        rc = mv_socket_pair(MICROVM_SOCKET_STREAM, control, err);
    if (!rc)
        rc = helper_start(&helper, program, (intptr_t[]){frames[1], control[1]}, err);
    if (!rc) {
        mv_socket_close(frames[1]); /* so that its end is seen */
        mv_socket_close(control[1]);
        frames[1] = control[1] = MV_SOCKET_NONE;
        rc = end_ask(control[0], open, texts, forwards, log, err);
    }
    if (rc) {
        mv_helper_stop(&helper);
        pair_close(frames);
        pair_close(control);
        return rc;
    }
    *out = (struct end){helper, control[0], (int)frames[0]};
    return 0;
}

static const struct mv_net_ops user_ops;

/* Takes the end, and on success the rest, over. */
static int user_new(const struct end *end, struct mv_loop *loop, char *program,
                    json_t *open, json_t *forwards, struct mv_net **out,
                    microvm_error *err)
{
    struct mv_net_watch *watch;
    int rc = mv_net_watch_open(sizeof(struct user), end->frames, loop, &user_ops,
                               "user", &watch, err);
    if (rc) {
        struct mv_helper helper = end->helper;
        mv_socket_close(end->control);
        mv_helper_stop(&helper);
        return rc;
    }
    struct user *user = user_of(&watch->net);
    user->gram.ends = true;
    user->program = program;
    user->open = open;
    user->helper = end->helper;
    user->control = end->control;
    user->forwards = forwards;
    (void)uv_mutex_init(&user->turn); /* need nothing that can run out, on Linux */
    (void)uv_mutex_init(&user->lock);
    watch->net.mtu = USER_MTU;
    mv_net_watch_see_end(watch);
    *out = &watch->net;
    return 0;
}

int mv_net_user_open(const struct mv_net_config *config, struct mv_loop *loop,
                     const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    const char *name = config->user->program;
    char *program = name ? strdup(name) : NULL;
    json_t *open = open_request(config), *texts = list_of(config->user->forward);
    json_t *forwards = json_object();
    struct end end = {MV_HELPER_NONE, MV_SOCKET_NONE, MV_SOCKET_NONE};
    int rc = !open || !texts || !forwards || (name && !program)
                 ? mv_fail(err, MICROVM_E_NO_MEMORY, "net 'user': no memory")
                 : end_open(program, open, texts, forwards, log, &end, err);
    if (!rc)
        rc = user_new(&end, loop, program, open, forwards, out, err);
    json_decref(texts);
    if (rc) {
        json_decref(forwards);
        json_decref(open);
        free(program);
    }
    return rc;
}

static void user_close(struct mv_net *net)
{
    struct user *user = user_of(net);
    mv_socket_close(user->control);
    mv_helper_stop(&user->helper);
    uv_mutex_destroy(&user->turn);
    uv_mutex_destroy(&user->lock);
    json_decref(user->forwards);
    json_decref(user->open);
    free(user->program);
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

/* ---- restart --------------------------------------------------------------------- */

struct swap {
    struct user *user;
    int frames, rc;
    microvm_error *err;
};

static void user_swap(void *arg)
{
    struct swap *swap = arg;
    swap->rc = mv_net_watch_replace(&swap->user->gram.watch, swap->frames, swap->err);
}

static json_t *forward_texts(const json_t *forwards)
{
    json_t *texts = json_array(), *text;
    const char *at;
    json_object_foreach((json_t *)(uintptr_t)forwards, at, text)(void)
        json_array_append(texts, text);
    return texts;
}

/* The old helper goes first: the new one wants its ports. With the lock held; where it
 * fails there is no helper, and what it should do is still known. */
static int user_renew(struct user *user, int *frames, microvm_error *err)
{
    json_t *texts = forward_texts(user->forwards), *forwards = json_object();
    struct end end = {MV_HELPER_NONE, MV_SOCKET_NONE, MV_SOCKET_NONE};
    const struct mv_log silent = {.fn = NULL}; /* not on a caller's thread */
    (void)user_count(user, NULL);
    mv_helper_stop(&user->helper);
    mv_socket_close(user->control);
    user->control = MV_SOCKET_NONE;
    user->before = stats_sum(&user->before, &user->last);
    user->last = (struct mv_net_user_stats){0};
    int rc = end_open(user->program, user->open, texts, forwards, &silent, &end, err);
    json_decref(texts);
    if (rc) {
        json_decref(forwards);
        return rc;
    }
    json_decref(user->forwards);
    user->forwards = forwards;
    user->helper = end.helper;
    user->control = end.control;
    user->deaf = false;
    *frames = end.frames;
    return 0;
}

int mv_net_user_restart(struct mv_net *net, microvm_error *err)
{
    struct user *user = user_of(net);
    struct swap swap = {.user = user, .err = err};
    uv_mutex_lock(&user->turn);
    uv_mutex_lock(&user->lock);
    int rc = user_renew(user, &swap.frames, err);
    uv_mutex_unlock(&user->lock);
    if (!rc) {
        mv_loop_run(user->gram.watch.loop, user_swap, &swap);
        rc = swap.rc;
    }
    uv_mutex_unlock(&user->turn);
    return rc;
}
