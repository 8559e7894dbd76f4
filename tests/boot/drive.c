/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See drive.h. */
#define _GNU_SOURCE
#include "drive.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void drive_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "FAILED: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

void drive_check(const char *what, int code, const microvm_error *err)
{
    if (code)
        drive_fail("%s: %s (%s, os code %d)", what, err->message,
                   microvm_code_name(code), err->os_code);
}

uint64_t drive_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void drive_sleep_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

microvm_config *drive_config(int words, char **word, const char *cmdline)
{
    microvm_config *config = microvm_config_new();
    char key[64];
    for (int i = 0; i < words; i++) {
        const char *value = strchr(word[i], '=');
        if (!value || (size_t)(value - word[i]) >= sizeof key)
            drive_fail("'%s' is not KEY=VALUE", word[i]);
        snprintf(key, sizeof key, "%.*s", (int)(value - word[i]), word[i]);
        microvm_config_set(config, key, value + 1);
    }
    microvm_config_set(config, "cmdline", cmdline);
    return config;
}

void drive_start(struct drive *d, const char *name, microvm_config *config)
{
    microvm_error err = {0};
    memset(d, 0, sizeof *d);
    d->name = name;
    d->vm = microvm_new(config, &err);
    if (!d->vm)
        drive_fail("%s: microvm_new: %s", name, err.message);
    microvm_config_free(config);
    drive_check("console_open", microvm_console_open(d->vm, &d->console, &err), &err);
    drive_check("start", microvm_start(d->vm, &err), &err);
    if (err.code)
        drive_fail("%s: success left an error: %s", name, err.message);
}

/* False at end of file or when nothing came in time. */
static int drive_read(struct drive *d, int64_t timeout_ms)
{
    microvm_error err;
    size_t room = sizeof d->seen - 1 - d->length;
    if (room < 4096) {
        memmove(d->seen, d->seen + sizeof d->seen / 2, d->length - sizeof d->seen / 2);
        d->length -= sizeof d->seen / 2;
        room = sizeof d->seen - 1 - d->length;
    }
    int64_t n =
        microvm_console_read(d->console, d->seen + d->length, room, timeout_ms, &err);
    if (n <= 0)
        return 0;
    for (int64_t i = 0; i < n; i++) {
        char *c = &d->seen[d->length + (size_t)i];
        *c = *c == '\0' ? '?' : *c; /* it is searched as a string */
    }
    d->length += (size_t)n;
    d->seen[d->length] = '\0';
    return 1;
}

const char *drive_expect(struct drive *d, const char *text, int64_t timeout_ms)
{
    uint64_t end = drive_now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        char *at = strstr(d->seen, text);
        /* The whole line must be there: what follows the text is the answer. */
        if (at && strchr(at, '\n')) {
            static char rest[512];
            at += strlen(text);
            snprintf(rest, sizeof rest, "%.*s", (int)strcspn(at, "\r\n"), at);
            size_t used = (size_t)(strchr(at, '\n') + 1 - d->seen);
            memmove(d->seen, d->seen + used, d->length + 1 - used);
            d->length -= used;
            return rest;
        }
        uint64_t now = drive_now_ms();
        if (now >= end || !drive_read(d, (int64_t)(end - now)))
            drive_fail(
                "%s: '%s' did not come within %lld ms; the guest's last words:\n%s",
                d->name, text, (long long)timeout_ms, d->seen);
    }
}

void drive_send(struct drive *d, const char *text)
{
    microvm_error err;
    size_t length = strlen(text);
    int64_t n = microvm_console_write(d->console, text, length, 10000, &err);
    if (n != (int64_t)length)
        drive_fail("%s: console_write moved %lld of %zu bytes", d->name, (long long)n,
                   length);
}

void drive_drain(struct drive *d, int64_t timeout_ms)
{
    while (drive_read(d, timeout_ms))
        ;
}

void drive_end_orderly(struct drive *d, int64_t timeout_ms)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    drive_drain(d, timeout_ms);
    int rc = microvm_wait(d->vm, timeout_ms, &end, &err);
    drive_check("wait", rc, &err);
    if (end.reason != MICROVM_EXIT_POWER_OFF && end.reason != MICROVM_EXIT_RESET)
        drive_fail("%s ended with reason %d (%s); last words:\n%s", d->name, end.reason,
                   end.message, d->seen);
}

void drive_free(struct drive *d)
{
    microvm_console_close(d->console);
    microvm_free(d->vm);
}
