/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The epoll of this program. An event whose watch was closed earlier in the same turn
 * finds no function and is passed over.
 */
#define _GNU_SOURCE
#include "guest/lib/loop.h"

#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 32 };

static int epoll_fd = -1;
static struct later *to_do;

bool loop_open(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd >= 0;
}

bool watch_add(struct watch *watch, int fd, uint32_t events,
               void (*fn)(struct watch *watch, uint32_t events))
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    *watch = (struct watch){fd, events, fn};
    return !events || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void watch_change(struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (watch->fd < 0 || watch->events == events)
        return;
    /* epoll tells of a hang-up also who asked for nothing: such a one must not be in
     * it. */
    int what = !watch->events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    watch->events = events;
    (void)epoll_ctl(epoll_fd, what, watch->fd, &event);
}

int watch_keep(struct watch *watch)
{
    int fd = watch->fd;
    /* Said, too: a child may have the descriptor for a moment longer. */
    if (fd >= 0 && watch->events)
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    *watch = (struct watch)WATCH_NONE;
    return fd;
}

void watch_close(struct watch *watch)
{
    int fd = watch_keep(watch);
    if (fd >= 0)
        (void)close(fd);
}

void loop_later(struct later *later, void (*fn)(struct later *later))
{
    later->fn = fn;
    later->next = to_do;
    to_do = later;
}

int64_t loop_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_turn(int64_t timeout_ms)
{
    struct epoll_event event[EVENTS];
    int timeout = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    int count = epoll_wait(epoll_fd, event, EVENTS, to_do ? 0 : timeout);
    for (int i = 0; i < count; i++) {
        struct watch *watch = event[i].data.ptr;
        if (watch->fn)
            watch->fn(watch, event[i].events);
    }
    while (to_do) {
        struct later *later = to_do;
        to_do = later->next;
        later->fn(later);
    }
}
