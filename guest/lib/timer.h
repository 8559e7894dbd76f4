/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A few timers for the loop: a list, looked through once a turn. */
#ifndef GUEST_TIMER_H
#define GUEST_TIMER_H

#include <stdint.h>

struct timer {
    struct timer *next;
    int64_t at_ms; /* 0: it is not set */
    void (*fn)(void);
};

/* Again: the new time counts. The memory is the timer's for ever. */
void timer_set(struct timer *timer, int64_t in_ms, void (*fn)(void));
void timer_clear(struct timer *timer);
/* For loop_turn: how long it may wait, -1 for ever; and who is due after it. */
int64_t timers_wait_ms(void);
void timers_run(void);

#endif
