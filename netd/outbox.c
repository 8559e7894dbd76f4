/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A ring of frames before a packet socket. */
#define _GNU_SOURCE
#include "outbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static struct outbox_frame *outbox_at(struct outbox *box, unsigned i)
{
    return &box->frame[(box->at + i) % OUTBOX_FRAMES];
}

uint8_t *outbox_place(struct outbox *box)
{
    return outbox_at(box, box->used)->byte;
}

/* So that a quiet guest's frames touch no more memory than they need. */
static void outbox_remove(struct outbox *box, unsigned frames)
{
    box->used -= frames;
    box->at = box->used ? (box->at + frames) % OUTBOX_FRAMES : 0;
}

static int outbox_batch(struct outbox *box)
{
    struct mmsghdr message[OUTBOX_BATCH];
    struct iovec iov[OUTBOX_BATCH];
    unsigned n = box->used < OUTBOX_BATCH ? box->used : OUTBOX_BATCH;
    memset(message, 0, sizeof message);
    for (unsigned i = 0; i < n; i++) {
        struct outbox_frame *frame = outbox_at(box, i);
        iov[i] = (struct iovec){frame->byte, frame->length};
        message[i].msg_hdr.msg_iov = &iov[i];
        message[i].msg_hdr.msg_iovlen = 1;
    }
    return sendmmsg(box->socket, message, n, MSG_NOSIGNAL);
}

void outbox_send(struct outbox *box)
{
    box->waits = false;
    while (box->used > 0 && !box->waits) {
        int n = outbox_batch(box);
        if (n > 0) {
            box->sent += (unsigned)n;
            outbox_remove(box, (unsigned)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            box->waits = true;
        } else if (errno != EINTR) {
            box->dropped++;
            outbox_remove(box, 1);
        }
    }
}

bool outbox_direct(struct outbox *box, const uint8_t *frame, size_t length)
{
    if (length < OUTBOX_LARGE)
        return false;
    if (box->used > 0 && !box->waits)
        outbox_send(box);
    if (box->used > 0 || send(box->socket, frame, length, MSG_NOSIGNAL) < 0)
        return false;
    box->sent++;
    return true;
}

void outbox_add(struct outbox *box, size_t length)
{
    struct outbox_frame *frame = outbox_at(box, box->used);
    frame->length = length;
    if (box->used > 0) {
        struct outbox_frame *last = outbox_at(box, box->used - 1);
        if (packet_ack_replaces(frame->byte, length, last->byte, last->length)) {
            memcpy(last->byte, frame->byte, length);
            return;
        }
    }
    if (box->used == OUTBOX_FRAMES - 1) {
        box->dropped++;
        return;
    }
    box->used++;
    if (box->used >= OUTBOX_BATCH && !box->waits)
        outbox_send(box);
}
