/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Threads with a queue before them, and a list of answers behind them. */
#define _GNU_SOURCE
#include "names.h"

#include <netdb.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    THREADS = 16, /* a server that is silent holds one for ten seconds */
    WAITING_MAX = 4096
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;
static struct name *first, **last = &first; /* questions */
static unsigned waiting;
static struct name *answers;
static int wake = -1;

static void name_resolve(struct name *name, int flags)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found = NULL;
    (void)snprintf(port, sizeof port, "%u", name->target.port);
    name->error = getaddrinfo(name->target.host, port, &hints, &found);
    if (name->error)
        return;
    for (struct addrinfo *a = found; a && name->count < NAMES_ADDRESSES;
         a = a->ai_next) {
        if (a->ai_addrlen > sizeof name->address[0])
            continue;
        memcpy(&name->address[name->count], a->ai_addr, a->ai_addrlen);
        name->length[name->count++] = a->ai_addrlen;
    }
    freeaddrinfo(found);
}

static struct name *questions_take(void)
{
    while (!first)
        (void)pthread_cond_wait(&asked, &lock);
    struct name *name = first;
    first = name->next;
    if (!first)
        last = &first;
    waiting--;
    return name;
}

static void *thread_main(void *arg)
{
    const uint64_t one = 1;
    (void)arg;
    (void)pthread_mutex_lock(&lock);
    for (;;) {
        struct name *name = questions_take();
        (void)pthread_mutex_unlock(&lock);
        name_resolve(name, 0);
        (void)pthread_mutex_lock(&lock);
        name->next = answers;
        answers = name;
        (void)!write(wake, &one, sizeof one);
    }
    return NULL;
}

static void name_deliver(struct name *name)
{
    if (name->answered)
        name->answered(name);
    else
        free(name);
}

static void name_later(struct later *later)
{
    name_deliver((struct name *)(void *)((char *)later - offsetof(struct name, later)));
}

static void answers_heard(struct watch *watch, uint32_t events)
{
    uint64_t count;
    (void)events;
    (void)!read(watch->fd, &count, sizeof count);
    (void)pthread_mutex_lock(&lock);
    struct name *name = answers;
    answers = NULL;
    (void)pthread_mutex_unlock(&lock);
    while (name) {
        struct name *next = name->next;
        name_deliver(name);
        name = next;
    }
}

bool names_open(void)
{
    static struct watch watch;
    pthread_t thread;
    wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake < 0 || !watch_add(&watch, wake, EPOLLIN, answers_heard))
        return false;
    for (unsigned i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, thread_main, NULL))
            return i > 0;
        (void)pthread_detach(thread);
    }
    return true;
}

static bool question_put(struct name *name)
{
    (void)pthread_mutex_lock(&lock);
    bool room = waiting < WAITING_MAX;
    if (room) {
        *last = name;
        last = &name->next;
        waiting++;
        (void)pthread_cond_signal(&asked);
    }
    (void)pthread_mutex_unlock(&lock);
    return room;
}

struct name *names_ask(const struct proxy_target *target,
                       void (*answered)(struct name *name), void *ctx)
{
    struct name *name = calloc(1, sizeof *name);
    if (!name)
        return NULL;
    name->target = *target;
    name->answered = answered;
    name->ctx = ctx;
    name_resolve(name, AI_NUMERICHOST);
    if (!name->error) {
        loop_later(&name->later, name_later);
        return name;
    }
    if (question_put(name))
        return name;
    free(name);
    return NULL;
}

/* A thread may have it: it is freed when its answer has come. `answered` is only looked
 * at on the loop. */
void names_leave(struct name *name)
{
    name->answered = NULL;
}

void names_free(struct name *name)
{
    free(name);
}
