/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A tap interface of Linux: frames go between guest memory and the host's network
 * stack, their virtio_net_hdr before them, one with each system call, or, where there
 * is io_uring, what the guest has queued with one call (net_tap_ring.c). Checksums and
 * segmentation are left to the stack, which most often never does them.
 *
 * An interface that does not exist is made, and goes with its machine; addresses,
 * bridges and "up" are the host's affair. The headers' values are checked by the
 * device and once more by the kernel, whose answer to nonsense, as to an interface that
 * is down, is an error: the frame is dropped.
 */
#include "backing/net_impl.h"
#include "backing/net_tap_ring.h"
#include "backing/net_watch.h"
#include "os/error.h"
#include "util/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Since Linux 6.2; older headers do not name them. */
enum { TAP_USO4 = 0x20, TAP_USO6 = 0x40 };

_Static_assert(sizeof(struct mv_span) == sizeof(struct iovec), "same layout");
_Static_assert(offsetof(struct mv_span, length) == offsetof(struct iovec, iov_len),
               "same layout");

struct tap {
    struct mv_net_watch watch;
    struct mv_tap_ring *ring; /* NULL: a call for each frame */
};

static struct tap *tap_of(struct mv_net *net)
{
    return (struct tap *)(void *)net; /* its first member's first */
}

static const struct iovec *tap_iovec(const struct mv_span *span)
{
    return (const struct iovec *)(const void *)span;
}

static ssize_t tap_receive_held(struct tap *tap, const struct mv_span *span,
                                unsigned spans)
{
    struct mv_net *net = &tap->watch.net;
    size_t n = mv_tap_ring_receive(tap->ring, span, spans);
    net->held = mv_tap_ring_held(tap->ring);
    if (net->held == 0)
        mv_net_watch_stage(&tap->watch, false);
    return (ssize_t)n;
}

static size_t tap_receive(struct mv_net *net, const struct mv_span *span,
                          unsigned spans)
{
    struct tap *tap = tap_of(net);
    for (unsigned runts = 0; runts < MV_NET_RUNTS;) {
        ssize_t n = net->held ? tap_receive_held(tap, span, spans)
                              : readv(tap->watch.fd, tap_iovec(span), (int)spans);
        if (n == 0 || (n < 0 && errno != EINTR))
            return 0; /* that it is gone is poll's to say */
        if (n >= MV_NET_HEADER_BYTES + MV_NET_FRAME_MIN &&
            n <= MV_NET_HEADER_BYTES + MV_NET_FRAME_MAX)
            return (size_t)n;
        net->received_drops += n > 0;
        runts += n > 0;
    }
    return 0;
}

/* What is held is most often given away at once, without a word to the poll. */
static void tap_listen(struct mv_net *net, bool on)
{
    if (on && net->held)
        mv_net_watch_stage(mv_net_watch_of(net), true);
    mv_net_watch_listen(net, on);
}

static void tap_commit(struct mv_net *net)
{
    struct tap *tap = tap_of(net);
    unsigned refused;
    if (!tap->ring)
        return;
    if (mv_tap_ring_send(tap->ring, &refused)) {
        net->held = mv_tap_ring_held(tap->ring);
    } else {
        mv_tap_ring_close(tap->ring);
        tap->ring = NULL;
        net->prompt = true;
        net->held = 0;
    }
    net->sent_drops += refused;
}

static bool tap_send(struct mv_net *net, const struct mv_span *span, unsigned spans,
                     size_t length)
{
    struct mv_net_watch *tap = mv_net_watch_of(net);
    ssize_t n;
    struct mv_tap_ring **ring = &tap_of(net)->ring;
    if (*ring && mv_tap_ring_add(*ring, span, spans, length))
        return true;
    if (*ring)
        tap_commit(net); /* there is room now, or no ring any more */
    if (*ring)
        return mv_tap_ring_add(*ring, span, spans, length);
    do
        n = writev(tap->fd, tap_iovec(span), (int)spans);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        mv_net_watch_await_room(tap);
        return false;
    }
    if (n < 0)
        net->sent_drops++;
    return true;
}

static unsigned tap_flags(unsigned offloads)
{
    unsigned flags = 0;
    if (offloads & MV_NET_CSUM)
        flags |= TUN_F_CSUM;
    if (offloads & MV_NET_TSO4)
        flags |= TUN_F_TSO4;
    if (offloads & MV_NET_TSO6)
        flags |= TUN_F_TSO6;
    if (offloads & MV_NET_ECN && offloads & (MV_NET_TSO4 | MV_NET_TSO6))
        flags |= TUN_F_TSO_ECN;
    if (offloads & MV_NET_USO)
        flags |= TAP_USO4 | TAP_USO6;
    return flags;
}

static void tap_set_offloads(struct mv_net *net, unsigned offloads)
{
    /* A subset of what it accepted when it was opened. */
    (void)ioctl(mv_net_watch_of(net)->fd, TUNSETOFFLOAD, tap_flags(offloads));
}

static void tap_close(struct mv_net *net)
{
    mv_tap_ring_close(tap_of(net)->ring);
    mv_net_watch_close(net);
}

static const struct mv_net_ops tap_ops = {.name = "tap",
                                          .receive = tap_receive,
                                          .send = tap_send,
                                          .commit = tap_commit,
                                          .listen = tap_listen,
                                          .set_offloads = tap_set_offloads,
                                          .close = tap_close};

/* One that somebody gave a limit says when it has room, which only a call for each
 * frame hears. */
static struct mv_tap_ring *tap_open_ring(int fd)
{
    int bytes = 0;
    if (syscall(SYS_ioctl, fd, TUNGETSNDBUF, &bytes) || bytes != INT_MAX)
        return NULL;
    return mv_tap_ring_open(fd);
}

/* What this kernel's taps can leave to the guest; they themselves take as much. */
static unsigned tap_probe_offloads(int fd)
{
    unsigned offloads = MV_NET_OFFLOADS;
    if (ioctl(fd, TUNSETOFFLOAD, tap_flags(offloads)))
        offloads &= ~(unsigned)MV_NET_USO;
    if (ioctl(fd, TUNSETOFFLOAD, tap_flags(offloads)))
        offloads = 0;
    (void)ioctl(fd, TUNSETOFFLOAD, 0);
    return offloads;
}

static uint16_t tap_mtu(const char *name)
{
    struct ifreq ifr = {.ifr_flags = 0};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    int rc = fd < 0 ? -1 : ioctl(fd, SIOCGIFMTU, &ifr);
    if (fd >= 0)
        (void)close(fd);
    return rc || ifr.ifr_mtu < 68 || ifr.ifr_mtu > UINT16_MAX ? 0
                                                              : (uint16_t)ifr.ifr_mtu;
}

int mv_net_tap_from_fd(int fd, struct mv_loop *loop, const char *what,
                       struct mv_net **out, microvm_error *err)
{
    struct mv_net_watch *watch;
    struct ifreq ifr = {.ifr_flags = 0};
    int header = MV_NET_HEADER_BYTES;
    /* ioctl takes the request as an int in musl, where this one is negative. */
    if (syscall(SYS_ioctl, fd, TUNGETIFF, &ifr) || (ifr.ifr_flags & IFF_TUN) ||
        !(ifr.ifr_flags & IFF_NO_PI) || !(ifr.ifr_flags & IFF_VNET_HDR)) {
        (void)close(fd);
        return mv_fail(err, MICROVM_E_INVALID,
                       "net '%s': the descriptor is no tap with IFF_NO_PI and "
                       "IFF_VNET_HDR; open it with these flags",
                       what);
    }
    if (ioctl(fd, TUNSETVNETHDRSZ, &header)) {
        int rc = mv_fail_os(err, "net '%s': setting the size of its headers", what);
        (void)close(fd);
        return rc;
    }
    unsigned offloads = tap_probe_offloads(fd);
    uint16_t mtu = tap_mtu(ifr.ifr_name);
    int rc =
        mv_net_watch_open(sizeof(struct tap), fd, loop, &tap_ops, what, &watch, err);
    if (rc)
        return rc;
    struct mv_net *net = &watch->net;
    tap_of(net)->ring = tap_open_ring(fd);
    net->header = true;
    net->prompt = !tap_of(net)->ring; /* it takes the answers itself */
    /* What comes from the guest is taken without being agreed; of USO the kernel knows
     * both directions or none. */
    net->send_offloads = offloads & MV_NET_USO
                             ? MV_NET_OFFLOADS
                             : MV_NET_OFFLOADS & ~(unsigned)MV_NET_USO;
    net->receive_offloads = offloads;
    net->mtu = mtu;
    *out = net;
    return 0;
}

static int tap_fail_set(const char *name, microvm_error *err)
{
    int code = errno;
    const char *advice = "";
    if (code == EPERM)
        advice = ": making one needs CAP_NET_ADMIN; let root make it for you: "
                 "ip tuntap add NAME mode tap user YOU vnet_hdr";
    else if (code == EBUSY)
        advice = ": somebody else has it open";
    else if (code == EINVAL)
        advice = ": an interface of this name exists that is no tap, or one with "
                 "other flags (multi_queue)";
    return mv_fail_os_code(err, MICROVM_E_IO, code, "net 'tap=%s'%s", name, advice);
}

int mv_net_tap_open(const struct mv_net_config *config, struct mv_loop *loop,
                    const struct mv_log *log, struct mv_net **out, microvm_error *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    const char *name = config->where;
    char what[sizeof ifr.ifr_name + 8];
    (void)log;
    if (strlen(name) >= sizeof ifr.ifr_name)
        return mv_fail(err, MICROVM_E_INVALID,
                       "net 'tap=%s': an interface's name has at most %zu bytes", name,
                       sizeof ifr.ifr_name - 1);
    (void)snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    (void)snprintf(what, sizeof what, "tap=%s", name);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return mv_fail_os(err, "net 'tap=%s': opening /dev/net/tun", name);
    if (ioctl(fd, TUNSETIFF, &ifr)) {
        int rc = tap_fail_set(name, err);
        (void)close(fd);
        return rc;
    }
    return mv_net_tap_from_fd(fd, loop, what, out, err);
}
