/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One thread, one epoll: everything in this program happens in its turns. What is
 * watched may be forgotten at any moment, also by somebody else's handler of the same
 * turn; its memory must stay until loop_later has called.
 */
#ifndef GUEST_LOOP_H
#define GUEST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
    int fd;          /* -1: watches nothing */
    uint32_t events; /* 0: the kernel is not asked at all */
    void (*fn)(struct watch *watch, uint32_t events);
};
#define WATCH_NONE \
    {              \
        -1, 0, 0   \
    }

/* Something to be done when the turn has ended. */
struct later {
    struct later *next;
    void (*fn)(struct later *later);
};

bool loop_open(void);
/* Watches fd, which is the watch's own from now on; false: the kernel has no memory. */
bool watch_add(struct watch *watch, int fd, uint32_t events,
               void (*fn)(struct watch *watch, uint32_t events));
void watch_change(struct watch *watch, uint32_t events);
/* Closes the descriptor, and fn is not called any more. Of one that watches nothing: no
 * effect. */
void watch_close(struct watch *watch);
/* Watches no more; the descriptor, which is the caller's. */
int watch_keep(struct watch *watch);
void loop_later(struct later *later, void (*fn)(struct later *later));

/* Milliseconds of a clock that does not jump. */
int64_t loop_now_ms(void);
/* One turn: waits for at most so long (-1: for ever), then calls who has something. */
void loop_turn(int64_t timeout_ms);

#endif
