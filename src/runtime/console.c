/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console for many readers: a thread reads it into a ring, and each subscriber has
 * a place in all that was ever said. What the ring has overwritten before he came to it
 * is lost for him, and he is told how many bytes that were.
 */
#include "runtime/runtime.h"

#include "os/socket.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { HISTORY_LEAST = 4096, HISTORY_MOST = 64 << 20, PIECE = 16384 };

struct mv_console {
    struct mv_shared shared; /* with its subscribers; changed: it has said more */
    uv_thread_t thread;
    bool reading, ended;
    intptr_t socket; /* the console, while reading */
    uint64_t end;    /* bytes that it has said */
    size_t size;
    char ring[];
};

struct microvm_subscriber {
    struct mv_console *console;
    uint64_t at;
};

struct mv_console *mv_console_new(size_t history, microvm_error *err)
{
    size_t size = MV_MIN(MV_MAX(history, (size_t)HISTORY_LEAST), (size_t)HISTORY_MOST);
    struct mv_console *console = calloc(1, sizeof *console + size);
    if (!console || mv_shared_open(&console->shared)) {
        free(console);
        (void)mv_fail(err, MICROVM_E_NO_MEMORY, "console: no memory");
        return NULL;
    }
    console->size = size;
    return console;
}

static void console_release(struct mv_console *console)
{
    if (mv_shared_leave(&console->shared))
        free(console);
}

/* ---- reading --------------------------------------------------------------------- */

static void console_put(struct mv_console *console, const char *data, size_t length)
{
    while (length > 0) {
        size_t at = console->end % console->size;
        size_t n = MV_MIN(length, console->size - at);
        memcpy(console->ring + at, data, n);
        console->end += n;
        data += n;
        length -= n;
    }
}

static void console_read(void *arg)
{
    struct mv_console *console = arg;
    char piece[PIECE];
    int64_t n;
    do {
        n = microvm_console_read(console->socket, piece, sizeof piece, MICROVM_FOREVER,
                                 NULL);
        uv_mutex_lock(&console->shared.lock);
        if (n > 0)
            console_put(console, piece, (size_t)n);
        else
            console->ended = true;
        uv_cond_broadcast(&console->shared.changed);
        uv_mutex_unlock(&console->shared.lock);
    } while (n > 0);
}

int mv_console_start(struct mv_console *console, microvm *vm, microvm_error *err)
{
    if (console->reading)
        return mv_fail(err, MICROVM_E_STATE, "runtime: it was spawned already");
    int rc = microvm_console_open(vm, &console->socket, err);
    if (rc)
        return rc;
    if (uv_thread_create(&console->thread, console_read, console)) {
        microvm_console_close(console->socket);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "console: no thread to read it");
    }
    uv_mutex_lock(&console->shared.lock);
    console->reading = true;
    uv_mutex_unlock(&console->shared.lock);
    return 0;
}

void mv_console_end(struct mv_console *console)
{
    if (!console)
        return;
    if (console->reading) {
        (void)uv_thread_join(&console->thread);
        microvm_console_close(console->socket);
    }
    uv_mutex_lock(&console->shared.lock);
    console->reading = false;
    console->ended = true;
    uv_cond_broadcast(&console->shared.changed);
    uv_mutex_unlock(&console->shared.lock);
    console_release(console);
}

int mv_console_input(struct mv_console *console, const void *data, size_t length,
                     int64_t timeout_ms, microvm_error *err)
{
    uv_mutex_lock(&console->shared.lock);
    bool reading = console->reading;
    uv_mutex_unlock(&console->shared.lock);
    if (!reading)
        return mv_fail(err, MICROVM_E_NOT_RUNNING,
                       "console: the machine was not spawned yet");
    int rc = mv_socket_send(console->socket, data, length, timeout_ms);
    if (rc == MV_SOCKET_GONE)
        return mv_fail(err, MICROVM_E_IO, "console: the machine is gone");
    return rc ? mv_fail(err, MICROVM_E_TIMEOUT,
                        "console: the guest did not take all of it in %lld ms",
                        (long long)timeout_ms)
              : 0;
}

/* ---- subscribers ----------------------------------------------------------------- */

static uint64_t ring_start(const struct mv_console *console)
{
    return console->end > console->size ? console->end - console->size : 0;
}

microvm_subscriber *mv_console_subscribe(struct mv_console *console, size_t history,
                                         microvm_error *err)
{
    microvm_subscriber *subscriber = calloc(1, sizeof *subscriber);
    if (!subscriber) {
        (void)mv_fail(err, MICROVM_E_NO_MEMORY, "console: no memory");
        return NULL;
    }
    uv_mutex_lock(&console->shared.lock);
    console->shared.count++;
    uint64_t kept = console->end - ring_start(console);
    subscriber->console = console;
    subscriber->at = console->end - MV_MIN((uint64_t)history, kept);
    uv_mutex_unlock(&console->shared.lock);
    return subscriber;
}

void microvm_subscriber_free(microvm_subscriber *subscriber)
{
    if (!subscriber)
        return;
    console_release(subscriber->console);
    free(subscriber);
}

/* False: the time is over. */
static bool subscriber_wait(const microvm_subscriber *subscriber, int64_t timeout_ms)
{
    struct mv_console *console = subscriber->console;
    uint64_t began = uv_hrtime();
    while (subscriber->at == console->end && !console->ended) {
        uint64_t passed = uv_hrtime() - began;
        if (timeout_ms < 0) {
            uv_cond_wait(&console->shared.changed, &console->shared.lock);
        } else if (passed / 1000000 >= (uint64_t)timeout_ms) {
            return false;
        } else {
            uint64_t left_ms = (uint64_t)timeout_ms - passed / 1000000;
            (void)uv_cond_timedwait(&console->shared.changed, &console->shared.lock,
                                    MV_MIN(left_ms, 3600000ull) * 1000000);
        }
    }
    return true;
}

static size_t subscriber_take(microvm_subscriber *subscriber, char *data, size_t length,
                              uint64_t *lost)
{
    const struct mv_console *console = subscriber->console;
    uint64_t start = ring_start(console);
    *lost = subscriber->at < start ? start - subscriber->at : 0;
    subscriber->at += *lost;
    size_t taken = 0;
    while (taken < length && subscriber->at < console->end) {
        size_t from = subscriber->at % console->size;
        uint64_t left = console->end - subscriber->at;
        size_t n = (size_t)MV_MIN(left, (uint64_t)(console->size - from));
        n = MV_MIN(n, length - taken);
        memcpy(data + taken, console->ring + from, n);
        subscriber->at += n;
        taken += n;
    }
    return taken;
}

int64_t microvm_subscriber_read(microvm_subscriber *subscriber, void *data,
                                size_t length, int64_t timeout_ms, uint64_t *lost,
                                microvm_error *err)
{
    struct mv_console *console = subscriber->console;
    uint64_t missing = 0;
    int64_t n = 0;
    if (length == 0) /* 0 would say that the machine has ended */
        return mv_fail(err, MICROVM_E_INVALID,
                       "console: there is no room to read into");
    uv_mutex_lock(&console->shared.lock);
    bool in_time = subscriber_wait(subscriber, timeout_ms);
    if (in_time)
        n = (int64_t)subscriber_take(subscriber, data, length, &missing);
    uv_mutex_unlock(&console->shared.lock);
    if (!in_time)
        return mv_fail(err, MICROVM_E_TIMEOUT, "console: no output in %lld ms",
                       (long long)timeout_ms);
    if (lost)
        *lost = missing;
    return n;
}
