/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A stream of characters with back-pressure both ways: what stands between a serial
 * port or console device and the host's end (backing/tty.h). Neither side waits: put
 * takes what it has room for, get gives what has arrived, and the other side is told
 * when there is room or input again.
 */
#ifndef MV_CORE_CHARDEV_H
#define MV_CORE_CHARDEV_H

#include <stddef.h>

struct mv_chardev {
    /* Bytes taken, fewer than length when there is no more room: then ->room of the
     * user is called once when there is. Any thread, one at a time. */
    size_t (*put)(void *ctx, const void *data, size_t length);
    /* Bytes given, 0 when none have arrived: then ->input of the user is called once
     * when some have. Any thread, one at a time. */
    size_t (*get)(void *ctx, void *data, size_t length);
    void *ctx;
    /* What was put shall go on its way now: for a user that puts much in small pieces.
     * On the device loop; calls nothing of the user. NULL: it goes by itself. */
    void (*flush)(void *ctx);
};

/* The device's end. Called on the device loop, or from within put and get of another
 * thread never: so a device may take its own lock inside. */
struct mv_chardev_user {
    void (*room)(void *device);
    void (*input)(void *device);
    void *device;
};

#endif
