/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The control socket on POSIX systems: clients come and go inside the relay's poll
 * loop, and none of them can make it wait. What is owed to a client is its answer,
 * then, for one that follows the console, the ring from its place on.
 */
#define _GNU_SOURCE
#include "control.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LAST_WORDS_MS = 1000, PIECE_BYTES = 4096 };

struct client {
    int fd;        /* -1: nobody */
    char *line;    /* NAMED_REQUEST_MAX bytes, until the request is complete */
    size_t length; /* of the request so far */
    char *answer;  /* still to be sent from answer_at on; NULL: none */
    size_t answer_at;
    bool asked, waits, follows, typing, ending;
    int stream;     /* to a port of the guest; -1: none */
    bool dialing;   /* the library will say whether it is connected */
    char socks[64]; /* a SOCKS server that is open as long as the client is here */
    uint64_t at;    /* its place in all that the console ever said */
};

struct control {
    const struct claim *claim;
    const struct verb_machine *machine;
    struct client client[CONTROL_CLIENTS];
    struct client *polled[CONTROL_FDS]; /* whom each descriptor belongs to */
    bool stop, guest_asked, wait;
    uint64_t stop_ms; /* of either */
    uint64_t end;     /* bytes that the console has said */
    /* Streams that nobody waits for any more, until the library has said so: before, a
     * descriptor of the same number would be taken for them. */
    int *given_up;
    size_t given_up_count, given_up_room;
    int spare; /* a descriptor that is given up where there is none for a client */
    size_t size;
    char ring[];
};

struct control *control_open(const struct claim *claim,
                             const struct verb_machine *machine, size_t history_bytes)
{
    /* Not calloc: what is never said needs no memory. */
    struct control *control = malloc(sizeof *control + history_bytes);
    if (!control)
        return NULL;
    *control =
        (struct control){.claim = claim, .machine = machine, .size = history_bytes};
    control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        control->client[i] = (struct client){.fd = -1, .stream = -1};
    return control;
}

static void stream_give_up(struct control *control, int stream)
{
    if (control->given_up_count == control->given_up_room) {
        size_t room = control->given_up_room ? 2 * control->given_up_room : 16;
        int *more = realloc(control->given_up, room * sizeof *more);
        if (!more)
            return; /* open for ever is better than taken for another */
        control->given_up = more;
        control->given_up_room = room;
    }
    control->given_up[control->given_up_count++] = stream;
}

static void client_drop(struct control *control, struct client *client)
{
    (void)close(client->fd);
    free(client->line);
    free(client->answer);
    if (client->stream >= 0 && client->dialing)
        stream_give_up(control, client->stream);
    else if (client->stream >= 0)
        (void)close(client->stream);
    if (client->socks[0])
        (void)microvm_socks_close(control->machine->vm, client->socks, NULL);
    *client = (struct client){.fd = -1, .stream = -1};
}

/* A server that was opened is nobody's who had one at its address before: that one has
 * been closed by somebody else. */
static void client_takes_socks(struct control *control, struct client *client,
                               const struct verb_result *result)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS && result->socks[0]; i++) {
        if (!strcmp(control->client[i].socks, result->socks))
            control->client[i].socks[0] = '\0';
    }
    if (result->then == THEN_SOCKS)
        (void)strcpy(client->socks, result->socks);
}

/* ---- the ring -------------------------------------------------------------------- */

void control_output(struct control *control, const char *data, size_t length)
{
    while (length > 0) {
        size_t at = control->end % control->size;
        size_t n = control->size - at < length ? control->size - at : length;
        memcpy(control->ring + at, data, n);
        control->end += n;
        data += n;
        length -= n;
    }
}

static uint64_t ring_start(const struct control *control)
{
    return control->end > control->size ? control->end - control->size : 0;
}

void control_say_last(const struct control *control, unsigned lines)
{
    char line[160];
    uint64_t start = ring_start(control), from = control->end;
    if (from == 0)
        return;
    say("the guest's last words:");
    if (from > start && control->ring[(from - 1) % control->size] == '\n')
        from--; /* the last line's own end */
    for (; from > start; from--)
        if (control->ring[(from - 1) % control->size] == '\n' && --lines == 0)
            break;
    for (size_t length = 0; from < control->end; from++) {
        char c = control->ring[from % control->size];
        bool end = c == '\n' || from + 1 == control->end;
        if ((unsigned char)c >= ' ' && length < sizeof line - 1)
            line[length++] = c;
        if (!end)
            continue;
        line[length] = '\0';
        say("  | %s", line);
        length = 0;
    }
}

/* What the client has missed is said in its place. */
static void client_mark_loss(struct control *control, struct client *client)
{
    uint64_t start = ring_start(control);
    if (client->at >= start)
        return;
    if (asprintf(&client->answer, "\r\n[microvm: %llu bytes lost]\r\n",
                 (unsigned long long)(start - client->at)) < 0)
        client->answer = NULL;
    client->answer_at = 0;
    client->at = start;
}

/* ---- sending --------------------------------------------------------------------- */

static bool client_owes(const struct control *control, const struct client *client)
{
    return client->answer || (client->follows && client->at < control->end);
}

static ssize_t client_send(struct client *client, const char *data, size_t length)
{
    ssize_t n = send(client->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    return n;
}

/* Sends what the socket takes at once; false: the client has gone. */
static bool client_pay(struct control *control, struct client *client)
{
    ssize_t n;
    if (!client->answer)
        client_mark_loss(control, client);
    if (client->answer) {
        const char *rest = client->answer + client->answer_at;
        n = client_send(client, rest, strlen(rest));
        if (n > 0 && (size_t)n == strlen(rest)) {
            free(client->answer);
            client->answer = NULL;
        } else if (n > 0) {
            client->answer_at += (size_t)n;
        }
        return n >= 0;
    }
    size_t at = client->at % control->size;
    uint64_t length = control->end - client->at;
    if (length > control->size - at)
        length = control->size - at;
    n = client_send(client, control->ring + at, (size_t)length);
    client->at += n > 0 ? (uint64_t)n : 0;
    return n >= 0;
}

/* ---- asking ---------------------------------------------------------------------- */

static void client_answer(struct client *client, json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    client->answer = NULL;
    client->answer_at = 0;
    if (text && asprintf(&client->answer, "%s\n", text) < 0)
        client->answer = NULL;
    free(text);
}

/* The socket itself goes to the client, and its bytes never come by here: with the
 * answer, as a descriptor (SCM_RIGHTS). */
static void client_hand_over(struct client *client)
{
    static const char answer[] = "{\"ok\":true}\n";
    struct iovec iov = {(void *)(uintptr_t)answer, sizeof answer - 1};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    memset(&room, 0, sizeof room);
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &client->stream, sizeof client->stream);
    (void)sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    client->ending = true;
}

void control_connected(struct control *control, const microvm_event *event)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &control->client[i];
        if (client->fd < 0 || !client->dialing || client->stream != event->socket)
            continue;
        client->dialing = false;
        if (event->code == 0) {
            client_hand_over(client);
        } else {
            client_answer(client, json_pack("{s:s}", "error", event->message));
            client->ending = true;
        }
        return;
    }
    for (size_t i = 0; i < control->given_up_count; i++) {
        if (control->given_up[i] == event->socket) {
            (void)close(control->given_up[i]);
            control->given_up[i] = control->given_up[--control->given_up_count];
            return;
        }
    }
}

static void client_do(struct control *control, struct client *client)
{
    struct verb_result result;
    json_t *answer = verb_do(control->machine, client->line, &result);
    client->asked = true;
    free(client->line);
    client->line = NULL;
    client->waits = result.then == THEN_STOP || result.then == THEN_ASKED ||
                    result.then == THEN_WAIT || result.then == THEN_END;
    client->follows = result.then == THEN_FOLLOW || result.then == THEN_LOGS ||
                      result.then == THEN_ATTACH;
    client->typing = result.then == THEN_ATTACH;
    client->ending = result.then == THEN_NOTHING || result.then == THEN_LOGS;
    client->at = client->typing ? control->end : ring_start(control);
    if (client->waits) {
        json_decref(answer);
        if (result.then == THEN_END)
            return;
        control->guest_asked = result.then == THEN_ASKED;
        control->stop = result.then == THEN_STOP || control->guest_asked;
        control->wait = result.then == THEN_WAIT;
        control->stop_ms = result.timeout_ms;
    } else if (result.then == THEN_STREAM) {
        json_decref(answer);
        client->stream = (int)result.stream;
        client->dialing = true;
    } else {
        client_answer(client, answer);
        client_takes_socks(control, client, &result);
    }
}

/* Before the request is complete its bytes, afterwards only whether somebody is there:
 * those who are attached are heard by control_input. */
static void client_hear(struct control *control, struct client *client)
{
    char nothing[64];
    char *to = client->asked ? nothing : client->line + client->length;
    size_t room =
        client->asked ? sizeof nothing : NAMED_REQUEST_MAX - 1 - client->length;
    ssize_t n = recv(client->fd, to, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_drop(control, client);
        return;
    }
    if (client->asked)
        return;
    client->length += (size_t)n;
    client->line[client->length] = '\0';
    char *end = strchr(client->line, '\n');
    if (end) {
        *end = '\0';
        client_do(control, client);
    } else if (client->length == NAMED_REQUEST_MAX - 1) {
        client_drop(control, client);
    }
}

/* ---- in the poll loop ------------------------------------------------------------ */

/* Who comes while all places are taken waits for one in the backlog, unless nobody is
 * about to leave: then he is refused. */
static bool control_receives(const struct control *control)
{
    unsigned staying = 0;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        const struct client *client = &control->client[i];
        if (client->fd < 0)
            return true;
        staying += client->waits || client->follows || client->socks[0];
    }
    return staying == CONTROL_CLIENTS;
}

/* This process has no descriptor left, and a client that waits would wake it again and
 * again: it is shown the door. */
static void control_turn_away(struct control *control)
{
    (void)close(control->spare);
    int fd = accept(control->claim->listener, NULL, NULL);
    if (fd >= 0)
        (void)close(fd);
    control->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void control_accept(struct control *control)
{
    int fd = accept(control->claim->listener, NULL, NULL);
    if (fd < 0 && errno == EMFILE)
        control_turn_away(control);
    if (fd < 0)
        return;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    char *line = malloc(NAMED_REQUEST_MAX);
    for (unsigned i = 0; i < CONTROL_CLIENTS && line; i++) {
        struct client *client = &control->client[i];
        if (client->fd < 0) {
            client->fd = fd;
            client->line = line;
            return;
        }
    }
    free(line);
    (void)close(fd);
}

int control_interest(struct control *control, struct pollfd *fds, bool input_wanted)
{
    int count = 0;
    fds[count++] = (struct pollfd){
        control_receives(control) ? control->claim->listener : -1, POLLIN, 0};
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &control->client[i];
        if (client->fd < 0)
            continue;
        short events = client_owes(control, client) ? POLLOUT : 0;
        if (!client->typing || input_wanted)
            events |= POLLIN;
        control->polled[count] = client;
        fds[count++] = (struct pollfd){client->fd, events, 0};
    }
    return count;
}

void control_turn(struct control *control, const struct pollfd *fds, int count)
{
    for (int i = 1; i < count; i++) {
        struct client *client = control->polled[i];
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR) && !client->typing)
            client_hear(control, client);
        if (client->fd >= 0 && fds[i].revents & POLLOUT &&
            client_owes(control, client) && !client_pay(control, client))
            client_drop(control, client);
        if (client->fd >= 0 && client->ending && !client_owes(control, client))
            client_drop(control, client);
    }
    if (count > 0 && fds[0].revents & POLLIN)
        control_accept(control);
}

size_t control_input(struct control *control, char *to, size_t room)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &control->client[i];
        if (client->fd < 0 || !client->typing)
            continue;
        ssize_t n = recv(client->fd, to, room, MSG_DONTWAIT);
        if (n > 0)
            return (size_t)n;
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            client_drop(control, client);
    }
    return 0;
}

bool control_stop_asked(struct control *control, uint64_t *timeout_ms,
                        bool *guest_asked)
{
    bool asked = control->stop;
    control->stop = false;
    *timeout_ms = control->stop_ms;
    *guest_asked = control->guest_asked;
    return asked;
}

bool control_wait_asked(struct control *control, uint64_t *timeout_ms)
{
    bool asked = control->wait;
    control->wait = false;
    *timeout_ms = control->stop_ms;
    return asked;
}

/* ---- the end --------------------------------------------------------------------- */

/* True while somebody is owed something and still takes it. */
static bool control_last_turn(struct control *control)
{
    struct pollfd fds[CONTROL_FDS];
    bool owed = false;
    int count = control_interest(control, fds, false);
    for (int i = 1; i < count; i++)
        owed = owed || client_owes(control, control->polled[i]);
    fds[0].fd = -1;
    if (!owed || poll(fds, (nfds_t)count, LAST_WORDS_MS) <= 0)
        return false;
    control_turn(control, fds, count);
    return true;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &control->client[i];
        if (client->fd >= 0 && client->waits)
            client_answer(client, verb_ended(control->machine));
    }
    while (control_last_turn(control))
        ;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        if (control->client[i].fd >= 0)
            client_drop(control, &control->client[i]);
    }
    (void)close(control->spare);
    while (control->given_up_count > 0)
        (void)close(control->given_up[--control->given_up_count]);
    free(control->given_up);
    free(control);
}
