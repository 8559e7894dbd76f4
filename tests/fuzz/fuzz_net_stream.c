/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The framing of the stream backing: what a peer sends, cut where the input says. Every
 * frame that comes out has a length that a frame can have and its right bytes; a
 * length that none can have ends the connection, and nothing comes after it.
 */
#include "fuzz.h"

#include "backing/net.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    struct mv_loop loop;
    struct mv_net *net;
    int fd;
};

static void nothing(void *device)
{
    (void)device;
}

static void peer_open(struct peer *p)
{
    int pair[2];
    struct mv_log log = {0};
    int rc = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    MV_ASSERT(rc == 0);
    rc = mv_loop_open(&p->loop, NULL);
    MV_ASSERT(rc == 0);
    const struct mv_net_config config = {.kind = MV_NET_FD, .fd = pair[0]};
    rc = mv_net_open(&config, &p->loop, &log, &p->net, NULL);
    MV_ASSERT(rc == 0);
    (void)close(pair[0]);
    p->net->user = (struct mv_net_user){nothing, nothing, nothing, p};
    p->fd = pair[1];
}

/* Where a model of the stream stands: what it must deliver next. */
struct model {
    const uint8_t *at;
    size_t left;
};

static uint32_t model_length(const struct model *m)
{
    MV_ASSERT(m->left >= 4);
    return (uint32_t)m->at[0] << 24 | (uint32_t)m->at[1] << 16 |
           (uint32_t)m->at[2] << 8 | m->at[3];
}

/* Past the frames that are too short to be any, as far as they are there whole. */
static void skip_runts(struct model *m)
{
    while (m->left >= 4 && model_length(m) < MV_NET_FRAME_MIN &&
           m->left - 4 >= model_length(m)) {
        size_t n = 4 + (size_t)model_length(m);
        m->at += n;
        m->left -= n;
    }
}

/* Is the next length one that no frame can have? */
static bool has_ended(struct model *m)
{
    skip_runts(m);
    return m->left >= 4 && model_length(m) > MV_NET_FRAME_MAX;
}

static void check_frame(struct model *m, const uint8_t *frame, size_t length)
{
    skip_runts(m);
    uint32_t n = model_length(m);
    MV_ASSERT(n == length && m->left - 4 >= n && memcmp(m->at + 4, frame, n) == 0);
    m->at += 4 + n;
    m->left -= 4 + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static uint8_t frame[MV_NET_FRAME_MAX];
    struct peer p;
    (void)signal(SIGPIPE, SIG_IGN);
    struct fuzz in = {data, length};
    size_t cut = 1 + fuzz8(&in);
    const struct mv_span span = {frame, sizeof frame};
    struct model model = {in.data, in.length};
    peer_open(&p);
    while (fuzz_left(&in)) {
        size_t n = MV_MIN(cut, in.length);
        if (send(p.fd, in.data, n, MSG_DONTWAIT) != (ssize_t)n) {
            MV_ASSERT(has_ended(&model)); /* else all that was sent has been read */
            break;
        }
        in.data += n;
        in.length -= n;
        for (size_t got; (got = p.net->ops->receive(p.net, &span, 1)) > 0;) {
            MV_ASSERT(got >= MV_NET_FRAME_MIN && got <= MV_NET_FRAME_MAX);
            check_frame(&model, frame, got);
        }
    }
    MV_ASSERT(!has_ended(&model) || p.net->ops->receive(p.net, &span, 1) == 0);
    (void)close(p.fd);
    p.net->ops->close(p.net);
    mv_loop_close(&p.loop);
    return 0;
}
