/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The timers of timer.h: what was set once stays in the list. */
#include "guest/lib/timer.h"

#include "guest/lib/loop.h"

#include <stddef.h>

static struct timer *timers;

void timer_set(struct timer *timer, int64_t in_ms, void (*fn)(void))
{
    struct timer *t = timers;
    while (t && t != timer)
        t = t->next;
    if (!t) {
        timer->next = timers;
        timers = timer;
    }
    timer->at_ms = loop_now_ms() + in_ms;
    timer->fn = fn;
}

void timer_clear(struct timer *timer)
{
    timer->at_ms = 0;
}

int64_t timers_wait_ms(void)
{
    int64_t first_ms = 0, now_ms = loop_now_ms();
    for (struct timer *t = timers; t; t = t->next) {
        if (t->at_ms && (!first_ms || t->at_ms < first_ms))
            first_ms = t->at_ms;
    }
    if (!first_ms)
        return -1;
    return first_ms > now_ms ? first_ms - now_ms : 0;
}

void timers_run(void)
{
    int64_t now_ms = loop_now_ms();
    for (struct timer *t = timers; t; t = t->next) {
        if (!t->at_ms || t->at_ms > now_ms)
            continue;
        t->at_ms = 0;
        t->fn();
    }
}
