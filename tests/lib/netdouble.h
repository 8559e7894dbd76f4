/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A network backing in memory: frames that the test puts in arrive at the device,
 * frames that the device sends are kept, as many as there is room for. It checks what
 * the seam promises it: the spans' place in guest memory, their sum, the header's
 * place. Also for fuzz targets, so without cmocka.
 */
#ifndef TESTS_LIB_NETDOUBLE_H
#define TESTS_LIB_NETDOUBLE_H

#include "vrig.h"

#include "backing/net.h"

enum { NETDOUBLE_FRAMES = 64, NETDOUBLE_BYTES = 70000 };

struct netdouble {
    struct mv_net net;
    struct vrig *rig;
    struct mv_call again;
    /* To the guest: a ring of frames, header included. */
    uint8_t (*in)[NETDOUBLE_BYTES];
    size_t in_length[NETDOUBLE_FRAMES];
    unsigned in_first, in_count;
    /* From the guest: the last frame, header included; how many in all. */
    uint8_t out[NETDOUBLE_BYTES];
    size_t out_length;
    unsigned out_count;
    unsigned room; /* for so many more frames */
    bool refused;  /* one, so that writable is owed */
    bool listening, closed;
    unsigned offloads; /* as set last */
};

/* A device on the double, not attached yet. header: as a tap's. */
void netdouble_open(struct netdouble *d, struct vrig *rig, bool header,
                    struct mv_vdev **out);
/* The double with its device gone; the device closes the backing itself. */
void netdouble_free(struct netdouble *d);

/* A frame for the guest: header (where there is one) and frame bytes. The device is
 * told if it listens, when the loop turns. */
void netdouble_put(struct netdouble *d, const void *frame, size_t length);
/* There is room for n more. */
void netdouble_make_room(struct netdouble *d, unsigned n);

#endif
