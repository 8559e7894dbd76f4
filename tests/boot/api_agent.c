/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest whose first process is microvm-init, through a machine's handle: what it
 * finds set up (host name, entropy, clock), time that the host sets, counters, file
 * trees in and out, a sync that takes long and keeps nobody waiting, and the power
 * button.
 *
 * Usage: api_agent FOLDER [button|slow]... KEY=VALUE...    FOLDER: for copies, new
 */
#define _GNU_SOURCE
#include "drive.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MS = 60000, SOON_MS = 10000, OUTPUT_BYTES = 65536 };
enum {
    SLOW_MIB = 8,
    SLOW_S = 4
}; /* what is written, and how long that takes at least */

/* ---- asking ---------------------------------------------------------------------- */

/* What a script says, for the static buffer's life; its status must be 0. */
static const char *said(struct drive *d, const char *script)
{
    static char output[OUTPUT_BYTES];
    const char *argv[] = {"sh", "-c", script, NULL};
    microvm_command command = MICROVM_COMMAND_INIT;
    microvm_process *process;
    microvm_error err;
    size_t length = 0;
    int64_t n;
    command.argv = argv;
    drive_check(script, microvm_exec(d->vm, &command, ANSWER_MS, &process, &err), &err);
    while (
        (n = microvm_process_read(process, output + length, sizeof output - 1 - length,
                                  NULL, ANSWER_MS, &err)) > 0)
        length += (size_t)n;
    output[length] = '\0';
    if (n < 0 || microvm_process_status(process) != 0)
        drive_fail("'%s': status %d: %s", script, microvm_process_status(process),
                   output);
    microvm_process_free(process);
    return output;
}

static long long number(struct drive *d, const char *script)
{
    return strtoll(said(d, script), NULL, 10);
}

/* The reply, or NULL and why not. */
static char *ask(struct drive *d, const char *what, const char *string,
                 int64_t timeout_ms, microvm_error *err)
{
    const char *strings[] = {string, NULL};
    char *reply = NULL;
    intptr_t connection;
    drive_check("connect",
                microvm_connect(d->vm, MICROVM_AGENT_PORT, ANSWER_MS, &connection, err),
                err);
    (void)microvm_agent_ask(connection, what, strings, timeout_ms, &reply, err);
    return reply;
}

static void must_ask(struct drive *d, const char *what, const char *string)
{
    microvm_error err;
    char *reply = ask(d, what, string, ANSWER_MS, &err);
    if (!reply)
        drive_fail("%s: %s", what, err.message);
    microvm_string_free(reply);
}

/* ---- what a guest finds ---------------------------------------------------------- */

static void check_system(struct drive *d)
{
    const char *name = said(d, "cat /proc/sys/kernel/hostname");
    if (strcmp(name, "box-of-tests\n") != 0)
        drive_fail("the host name is '%s'", name);
    /* 256 bits: the generator is ready, and reading it waits for nothing. */
    if (number(d, "cat /proc/sys/kernel/random/entropy_avail") < 256)
        drive_fail("the guest's random numbers are not ready");
    if (number(d, "dd if=/dev/random bs=512 count=1 2>/dev/null | wc -c") != 512)
        drive_fail("/dev/random has not given 512 bytes");
}

static long long off_by(struct drive *d)
{
    return llabs(number(d, "date +%s") - (long long)time(NULL));
}

static void set_time(struct drive *d, long long seconds)
{
    char string[64];
    (void)snprintf(string, sizeof string, "unix_ns=%lld000000000", seconds);
    must_ask(d, "time", string);
}

static void check_clock(struct drive *d)
{
    if (off_by(d) > 5)
        drive_fail("the guest's clock is %lld s off from its beginning", off_by(d));
    set_time(d, 1000000000);
    long long now = number(d, "date +%s");
    if (now < 1000000000 || now > 1000000030)
        drive_fail("the clock was set to 1000000000, and says %lld", now);
    set_time(d, (long long)time(NULL));
    if (off_by(d) > 5)
        drive_fail("the guest's clock was set, and is %lld s off", off_by(d));
}

static void check_metrics(struct drive *d)
{
    microvm_error err;
    char *reply = ask(d, "metrics", NULL, ANSWER_MS, &err);
    const char *memory = reply ? strstr(reply, "\"memory_bytes\":") : NULL;
    if (!memory)
        drive_fail("metrics: %s", reply ? reply : err.message);
    long long bytes = strtoll(strpbrk(memory + 15, "0123456789"), NULL, 10);
    if (bytes < 200LL << 20 || bytes > 256LL << 20)
        drive_fail("metrics: a machine of 256 MiB has %lld bytes", bytes);
    microvm_string_free(reply);
}

/* ---- file trees ------------------------------------------------------------------ */

static void host(const char *format, const char *folder)
{
    char script[2048];
    (void)snprintf(script, sizeof script, "cd '%s' && %s", folder, format);
    if (system(script) != 0)
        drive_fail("on the host: %s", script);
}

static int count_news(void *user, const microvm_copy_news *news)
{
    *(uint64_t *)user = news->entries;
    return 0;
}

static void check_copies(struct drive *d, const char *folder)
{
    char out[1024], back[1024];
    uint64_t entries = 0;
    microvm_copy copy = MICROVM_COPY_INIT;
    microvm_error err;
    copy.flags = MICROVM_COPY_OWNERS;
    copy.timeout_ms = ANSWER_MS;
    copy.news = count_news;
    copy.user = &entries;
    (void)snprintf(out, sizeof out, "%s/tree", folder);
    (void)snprintf(back, sizeof back, "%s/back", folder);
    host("mkdir -p tree/sub && head -c 3000000 /dev/urandom >tree/noise && "
         "ln tree/noise tree/sub/again && ln -s ../noise tree/sub/link && "
         "chmod 2750 tree/sub && chmod 4711 tree/noise && "
         "truncate -s 40000000 tree/holes && touch -d @1234567890 tree/holes",
         folder);
    drive_check("copy_to", microvm_copy_to(d->vm, out, "/tmp", &copy, &err), &err);
    if (entries != 6)
        drive_fail("copy_to: %llu entries of 6", (unsigned long long)entries);
    if (number(d, "stat -c %Y /tmp/tree/holes") != 1234567890 ||
        number(d, "stat -c %a /tmp/tree/noise") != 4711 ||
        number(d, "stat -c %h /tmp/tree/sub/again") != 2)
        drive_fail("the tree in the guest is another one");
    drive_check("copy_from", microvm_copy_from(d->vm, "/tmp/tree", back, &copy, &err),
                &err);
    host(
        "diff -r tree back && test \"$(cd tree && stat -c '%n %a %h %Y' noise sub holes "
        "sub/again)\" = \"$(cd back && stat -c '%n %a %h %Y' noise sub holes sub/again)\" "
        "&& test \"$(readlink back/sub/link)\" = ../noise && "
        "test $(du -k back/holes | cut -f1) -lt 100",
        folder);
    if (microvm_copy_from(d->vm, "/no/such", back, &copy, &err) != MICROVM_E_INVALID)
        drive_fail("copy_from of what is not there: %s", err.message);
}

/* ---- a disk that is slow --------------------------------------------------------- */

/* Its disk takes 2 MiB a second. */
static void check_slow_sync(struct drive *d)
{
    microvm_error err;
    char script[128];
    said(d, "mkdir -p /mnt && mount -t ext4 /dev/vda /mnt");
    (void)snprintf(script, sizeof script,
                   "dd if=/dev/zero of=/mnt/file bs=1M count=%d 2>/dev/null", SLOW_MIB);
    said(d, script);
    uint64_t began = drive_now_ms();
    if (ask(d, "sync", NULL, 300, &err) || err.code != MICROVM_E_TIMEOUT)
        drive_fail("sync of a slow disk: '%s' instead of a time-out", err.message);
    for (int i = 0; i < 5; i++) {
        must_ask(d, "info", NULL);
        said(d, "true");
    }
    uint64_t others = drive_now_ms() - began;
    must_ask(d, "sync", NULL);
    uint64_t all = drive_now_ms() - began;
    printf("a sync of %llu ms; others had been answered after %llu\n",
           (unsigned long long)all, (unsigned long long)others);
    if (all < SLOW_S * 1000 / 2 || others > all / 2)
        drive_fail("five requests took %llu ms while a sync of %llu ms went on",
                   (unsigned long long)others, (unsigned long long)all);
    said(d, "umount /mnt");
}

/* ---- the end --------------------------------------------------------------------- */

static void end_by_button(struct drive *d)
{
    microvm_error err;
    microvm_process *process;
    const char *argv[] = {"sh", "-c",
                          "trap 'echo told >/dev/console; exit' TERM; "
                          "echo waiting >/dev/console; while :; do sleep 0.1; done",
                          NULL};
    microvm_command command = MICROVM_COMMAND_INIT;
    command.argv = argv;
    drive_check("exec", microvm_exec(d->vm, &command, ANSWER_MS, &process, &err), &err);
    (void)drive_expect(d, "waiting", ANSWER_MS);
    drive_check("shutdown", microvm_shutdown(d->vm, ANSWER_MS, &err), &err);
    (void)drive_expect(d, "told", ANSWER_MS);
    microvm_exit end = MICROVM_EXIT_INIT;
    drive_check("wait", microvm_wait(d->vm, ANSWER_MS, &end, &err), &err);
    if (end.reason != MICROVM_EXIT_POWER_OFF)
        drive_fail("after the power button: %s", end.message);
    microvm_process_free(process);
}

int main(int argc, char **argv)
{
    static struct drive d;
    bool button = false, slow = false;
    microvm_error err;
    int at = 2;
    for (; at < argc && !strchr(argv[at], '='); at++) {
        button |= !strcmp(argv[at], "button");
        slow |= !strcmp(argv[at], "slow");
    }
    if (argc < 2 || (mkdir(argv[1], 0755) < 0 && access(argv[1], W_OK) < 0))
        drive_fail("usage: api_agent FOLDER [button|slow]... KEY=VALUE...");
    drive_start(&d, "guest", drive_config(argc - at, argv + at, "quiet"));
    drive_check("wait_ready", microvm_wait_ready(d.vm, 5 * ANSWER_MS, &err), &err);
    check_system(&d);
    check_clock(&d);
    check_metrics(&d);
    check_copies(&d, argv[1]);
    if (slow)
        check_slow_sync(&d);
    if (button) {
        end_by_button(&d);
    } else {
        must_ask(&d, "shutdown", NULL);
        drive_end_orderly(&d, ANSWER_MS);
    }
    drive_free(&d);
    return 0;
}
