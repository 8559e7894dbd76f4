/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's end of a console: between a device's character stream and the stream
 * socket that the application holds.
 *
 *     device --put--> output ring --loop--> socket --> application
 *     device <--get-- input ring <--loop-- socket <-- application
 *
 * The device's calls come from vCPU threads and only copy; sockets are the loop's. When
 * a ring is full its writer is told to wait: output makes the device hold the guest
 * back, input stays in the socket. Without an application output is dropped.
 *
 * The loop is called at the first byte of output. While output is held, it is called
 * when half of the ring is used, and else whoever holds it says when (mv_tty_flush): a
 * stream that comes in small pieces then costs the host a few large writes.
 */
#ifndef MV_BACKING_TTY_H
#define MV_BACKING_TTY_H

#include "core/chardev.h"
#include "os/loop.h"

#include <stdbool.h>

enum {
    MV_TTY_OUT_BYTES = 16 << 10, /* a burst of boot messages fits */
    MV_TTY_IN_BYTES = 4 << 10    /* a paste is not: it waits in the socket */
};

struct mv_ring {
    uint8_t *data;
    size_t size, start, used;
};

struct mv_tty {
    struct mv_loop *loop;
    struct mv_chardev_user user; /* the device; set before anything moves */
    struct mv_call serve;        /* have the loop look at rings and socket */

    uv_mutex_t lock; /* guards what follows; a leaf */
    struct mv_ring out, in;
    bool wants_room, wants_input; /* the device waits for a call back */
    bool held;
    uint64_t out_bytes, in_bytes; /* counters */

    /* The loop's. */
    intptr_t socket;  /* our end, or MV_SOCKET_NONE */
    uv_poll_t *poll;  /* watches it; freed when libuv has let go of it */
    int watching;     /* events that poll waits for */
    bool ended;       /* the device is gone: close when all output is out */
    bool input_ended; /* the application has ended its writing */
    uint8_t out_data[MV_TTY_OUT_BYTES], in_data[MV_TTY_IN_BYTES];
};

int mv_tty_open(struct mv_tty *tty, struct mv_loop *loop, microvm_error *err);
void mv_tty_close(struct mv_tty *tty); /* loop thread */
struct mv_chardev mv_tty_chardev(struct mv_tty *tty);

/* Output waits for mv_tty_flush, or for half a ring of it. Loop, or before it runs. */
void mv_tty_hold(struct mv_tty *tty, bool held);
/* Moves what can be moved at once; the device is not called from within. Loop. */
void mv_tty_flush(struct mv_tty *tty);

/* Makes the pair and returns the application's end. Refused while one is open. */
int mv_tty_attach(struct mv_tty *tty, intptr_t *out, microvm_error *err);
/* No more output will come: end of file for the application after what there is. */
void mv_tty_end(struct mv_tty *tty);

#endif
