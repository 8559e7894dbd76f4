/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Threads with a queue before them, and a list of answers behind them. */
#define _GNU_SOURCE
#include "os/names.h"

#include "os/error.h"
#include "os/thread.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <winsock2.h>

#include <ws2tcpip.h>
#else
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#endif

enum { THREADS = 8 /* a server that is silent holds one for ten seconds, or more */ };

struct thread {
    struct mv_names *names;
    uv_thread_t uv;
    bool busy;             /* in the resolver */
    struct mv_name *asker; /* while it is; NULL: has left */
};

struct mv_names {
    uv_mutex_t lock; /* of all below, and of names that are asked */
    uv_cond_t asked;
    struct mv_loop *loop;
    struct mv_call call;
    struct mv_name *first, **last, *answers;
    bool closed;
    unsigned users; /* threads that were not waited for, and the owner */
    unsigned threads;
    struct thread thread[THREADS];
};

static unsigned resolve(const char *text, struct mv_address out[MV_NAME_ADDRESSES])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    unsigned count = 0;
    if (getaddrinfo(text, NULL, &hints, &found))
        return 0;
    for (struct addrinfo *a = found; a && count < MV_NAME_ADDRESSES; a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            const struct sockaddr_in *v4 = (const void *)a->ai_addr;
            out[count++] = mv_address_v4((const uint8_t *)&v4->sin_addr);
        } else if (a->ai_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const void *)a->ai_addr;
            memcpy(out[count++].byte, &v6->sin6_addr, sizeof out->byte);
        }
    }
    freeaddrinfo(found);
    return count;
}

/* Under the lock, which is gone with the names when this was their last user. */
static void names_unuse(struct mv_names *names)
{
    bool last = --names->users == 0;
    uv_mutex_unlock(&names->lock);
    if (!last)
        return;
    uv_cond_destroy(&names->asked);
    uv_mutex_destroy(&names->lock);
    free(names);
}

/* One question, under the lock but while it is in the resolver. */
static void thread_answer(struct thread *t)
{
    struct mv_names *names = t->names;
    struct mv_address address[MV_NAME_ADDRESSES];
    char text[MV_NAME_TEXT];
    struct mv_name *name = names->first;
    names->first = name->next;
    if (!names->first)
        names->last = &names->first;
    memcpy(text, name->text, sizeof text);
    t->asker = name;
    t->busy = true;
    uv_mutex_unlock(&names->lock);
    unsigned count = resolve(text, address);
    uv_mutex_lock(&names->lock);
    name = t->asker;
    t->asker = NULL;
    if (!name)
        return;
    name->count = count;
    memcpy(name->address, address, count * sizeof *address);
    name->next = names->answers;
    names->answers = name;
    mv_loop_post(names->loop, &names->call);
}

static void thread_main(void *arg)
{
    struct thread *t = arg;
    struct mv_names *names = t->names;
    mv_thread_name("mv-names");
    uv_mutex_lock(&names->lock);
    for (;;) {
        if (names->closed)
            break;
        t->busy = false;
        if (names->first)
            thread_answer(t);
        else
            uv_cond_wait(&names->asked, &names->lock);
    }
    if (t->busy)
        names_unuse(names);
    else
        uv_mutex_unlock(&names->lock);
}

static struct mv_name *answers_take(struct mv_names *names)
{
    uv_mutex_lock(&names->lock);
    struct mv_name *name = names->answers;
    if (name) {
        names->answers = name->next;
        name->asked = false;
    }
    uv_mutex_unlock(&names->lock);
    return name;
}

static void names_deliver(void *arg)
{
    struct mv_name *name;
    while ((name = answers_take(arg)))
        name->answered(name);
}

int mv_names_open(struct mv_loop *loop, struct mv_names **out, microvm_error *err)
{
    struct mv_names *names = calloc(1, sizeof *names);
    if (!names)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "names: no memory");
    names->loop = loop;
    names->last = &names->first;
    names->users = 1;
    names->call = (struct mv_call){.fn = names_deliver, .arg = names};
    if (uv_mutex_init(&names->lock)) {
        free(names);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "names: no memory");
    }
    if (uv_cond_init(&names->asked)) {
        uv_mutex_destroy(&names->lock);
        free(names);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "names: no memory");
    }
    for (; names->threads < THREADS; names->threads++) {
        struct thread *t = &names->thread[names->threads];
        t->names = names;
        int rc = mv_thread_start(&t->uv, thread_main, t);
        if (!rc)
            continue;
        mv_names_close(names);
        return mv_fail_uv(err, rc, "names: a thread");
    }
    *out = names;
    return 0;
}

void mv_names_close(struct mv_names *names)
{
    bool stays[THREADS] = {false};
    if (!names)
        return;
    uv_mutex_lock(&names->lock);
    names->closed = true;
    for (unsigned i = 0; i < names->threads; i++) {
        names->thread[i].asker = NULL;
        stays[i] = names->thread[i].busy;
        names->users += stays[i];
    }
    uv_cond_broadcast(&names->asked);
    uv_mutex_unlock(&names->lock);
    mv_loop_cancel(names->loop, &names->call);
    for (unsigned i = 0; i < names->threads; i++) {
        if (stays[i])
            mv_thread_leave(&names->thread[i].uv);
        else
            (void)uv_thread_join(&names->thread[i].uv);
    }
    uv_mutex_lock(&names->lock);
    names_unuse(names);
}

void mv_names_ask(struct mv_names *names, struct mv_name *name)
{
    uv_mutex_lock(&names->lock);
    name->asked = true;
    name->next = NULL;
    *names->last = name;
    names->last = &name->next;
    uv_cond_signal(&names->asked);
    uv_mutex_unlock(&names->lock);
}

static bool list_remove(struct mv_name **at, const struct mv_name *name)
{
    while (*at && *at != name)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = name->next;
    return true;
}

void mv_names_leave(struct mv_names *names, struct mv_name *name)
{
    if (!name->asked)
        return;
    name->asked = false;
    uv_mutex_lock(&names->lock);
    for (unsigned i = 0; i < names->threads; i++) {
        if (names->thread[i].asker == name)
            names->thread[i].asker = NULL;
    }
    (void)list_remove(&names->answers, name);
    if (list_remove(&names->first, name)) {
        names->last = &names->first;
        while (*names->last)
            names->last = &(*names->last)->next;
    }
    uv_mutex_unlock(&names->lock);
}
