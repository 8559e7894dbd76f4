/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The runtime API with a Linux guest: its messages before anything runs, requests of
 * many threads, what a guest does that does not answer, a console with a quick and a
 * slow reader, and what clients and subscribers have left when the runtime is gone.
 *
 * Usage: api_runtime kernel=FILE initrd=FILE [memory=...]
 */
#define _GNU_SOURCE
#include "drive.h"

#include <microvm/runtime.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ECHO = 10, CLOSE = 11, SILENT = 14 }; /* guests/vsock.c */
enum { ANSWER_MS = 120000, THREADS = 8, REQUESTS = 20, LONG = 200 << 10, KEPT = 4096 };

static const char *value_of(int words, char **word, const char *key)
{
    for (int i = 0; i < words; i++) {
        if (!strncmp(word[i], key, strlen(key)) && word[i][strlen(key)] == '=')
            return word[i] + strlen(key) + 1;
    }
    return NULL;
}

static void refuse(microvm_runtime_config config, const char *kernel, const char *says)
{
    microvm_error err;
    microvm_client *client;
    config.kernel_path = kernel;
    if (microvm_runtime_new(&config, &client, &err))
        drive_fail("a runtime without a kernel was made");
    if (strcmp(err.message, says))
        drive_fail("it says '%s', not '%s'", err.message, says);
}

static void ask(microvm_client *client, const char *text, size_t length)
{
    microvm_error err;
    char *reply;
    size_t got;
    drive_check("request",
                microvm_client_request(client, ECHO, text, length, ANSWER_MS, &reply,
                                       &got, &err),
                &err);
    if (got != length || memcmp(reply, text, length) || reply[got])
        drive_fail("another answer: %zu bytes for %zu", got, length);
    microvm_string_free(reply);
}

static void *many_requests(void *arg)
{
    microvm_client *client = arg;
    char text[64];
    for (unsigned i = 0; i < REQUESTS; i++) {
        int n = snprintf(text, sizeof text, "%p asks %u", (void *)&text, i);
        ask(client, text, (size_t)n);
    }
    microvm_client_free(client);
    return NULL;
}

static void from_many_threads(microvm_client *client)
{
    pthread_t thread[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        if (pthread_create(&thread[i], NULL, many_requests,
                           microvm_client_clone(client)))
            drive_fail("no thread");
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(thread[i], NULL);
}

/* The guest's port that answers like this. */
static void fails(microvm_client *client, uint32_t port, int64_t timeout_ms, int code,
                  const char *says)
{
    microvm_error err;
    char *reply;
    size_t length;
    uint64_t began = drive_now_ms();
    int rc =
        microvm_client_request(client, port, "x", 1, timeout_ms, &reply, &length, &err);
    uint64_t took = drive_now_ms() - began;
    if (rc != code || !strstr(err.message, says))
        drive_fail("port %u: %d, '%s'", port, rc, err.message);
    if (timeout_ms > 0 && took > (uint64_t)timeout_ms + 2000)
        drive_fail("port %u: %llu ms for a limit of %lld", port,
                   (unsigned long long)took, (long long)timeout_ms);
}

/* Nothing was sent, so nothing is lost: the end is one. */
static void ends_in_order(microvm_client *client)
{
    microvm_error err;
    intptr_t s;
    char byte;
    drive_check("connect", microvm_client_connect(client, CLOSE, ANSWER_MS, &s, &err),
                &err);
    int64_t n = microvm_client_recv(s, &byte, 1, ANSWER_MS, &err);
    if (n != 0 || microvm_client_was_cut(client, s))
        drive_fail("an end in order: %lld, %s", (long long)n, n ? err.message : "cut");
    microvm_client_close(s);
}

/* ---- the console ----------------------------------------------------------------- */

struct reader {
    microvm_subscriber *subscriber;
    char *text;
    size_t length;
    uint64_t lost;
};

/* To the machine's end. */
static void *read_on(void *arg)
{
    struct reader *r = arg;
    microvm_error err;
    uint64_t lost;
    for (;;) {
        r->text = realloc(r->text, r->length + 4096);
        int64_t n = microvm_subscriber_read(r->subscriber, r->text + r->length, 4096,
                                            ANSWER_MS, &lost, &err);
        if (n < 0)
            drive_fail("subscriber: %s", err.message);
        r->lost += lost;
        if (n == 0)
            return NULL;
        r->length += (size_t)n;
    }
}

/* The quick one has it all, the slow one its end and how much is missing. */
static void compare(const struct reader *quick, const struct reader *slow)
{
    if (quick->lost || !memmem(quick->text, quick->length, "Linux version", 13))
        drive_fail("the quick reader: %zu bytes, %llu lost", quick->length,
                   (unsigned long long)quick->lost);
    if (slow->length != KEPT || slow->lost + slow->length != quick->length)
        drive_fail("the slow reader: %zu bytes, %llu lost, of %zu", slow->length,
                   (unsigned long long)slow->lost, quick->length);
    if (memcmp(slow->text, quick->text + quick->length - KEPT, KEPT))
        drive_fail("the slow reader's bytes are not the last ones");
    printf("console: %zu bytes; who slept has the last %zu, %llu are lost\n",
           quick->length, slow->length, (unsigned long long)slow->lost);
}

static microvm_subscriber *subscribe(microvm_runtime *runtime, size_t history)
{
    microvm_error err;
    microvm_subscriber *s = microvm_runtime_subscribe(runtime, history, &err);
    if (!s)
        drive_fail("subscribe: %s", err.message);
    return s;
}

static void from_the_past(microvm_runtime *runtime)
{
    char text[KEPT + 1];
    microvm_error err;
    microvm_subscriber *late = subscribe(runtime, 100);
    int64_t n = microvm_subscriber_read(late, text, sizeof text, 0, NULL, &err);
    if (n != 100)
        drive_fail("100 bytes of history are %lld", (long long)n);
    n = microvm_subscriber_read(late, text, sizeof text, 50, NULL, &err);
    if (n != MICROVM_E_TIMEOUT)
        drive_fail("a console that says nothing: %lld", (long long)n);
    microvm_subscriber_free(late);
}

static void expect(microvm_subscriber *subscriber, const char *text)
{
    static char seen[1 << 16];
    size_t length = 0;
    microvm_error err;
    while (!memmem(seen, length, text, strlen(text))) {
        int64_t n = microvm_subscriber_read(
            subscriber, seen + length, sizeof seen - length, ANSWER_MS, NULL, &err);
        if (n <= 0)
            drive_fail("'%s' has not come: %s", text, n ? err.message : "the end");
        length += (size_t)n;
    }
}

static void types(microvm_runtime *runtime)
{
    microvm_error err;
    microvm_subscriber *s = subscribe(runtime, KEPT);
    expect(s, "MV ask ready");
    drive_check(
        "input",
        microvm_runtime_input(runtime, "echo hello\nquit\n", 16, ANSWER_MS, &err),
        &err);
    expect(s, "MV echo [hello]");
    microvm_subscriber_free(s);
}

/* Far more than a console takes in that time, which it takes in pieces: the limit is
 * for all of it. */
static void types_too_much(microvm_runtime *runtime)
{
    static char text[1 << 20];
    microvm_error err;
    uint64_t began = drive_now_ms();
    memset(text, '#', sizeof text);
    int rc = microvm_runtime_input(runtime, text, sizeof text, 300, &err);
    uint64_t took = drive_now_ms() - began;
    if (rc != MICROVM_E_TIMEOUT || took > 2300)
        drive_fail("1 MiB of input: %d after %llu ms", rc, (unsigned long long)took);
}

/* What the machine was given beside the runtime's own settings. */
static void has_what_it_was_given(microvm_runtime *runtime)
{
    microvm_stats stats = {.size = sizeof stats};
    microvm_error err;
    drive_check("stats",
                microvm_get_stats(microvm_runtime_machine(runtime), &stats, &err),
                &err);
    if (stats.vcpus != 2)
        drive_fail("it has %u processors", (unsigned)stats.vcpus);
}

/* ---- the story ------------------------------------------------------------------- */

static void *wait_for_silence(void *arg)
{
    fails(arg, SILENT, MICROVM_FOREVER, MICROVM_E_IO, "cut off");
    return NULL;
}

static void serve(microvm_runtime *runtime, microvm_client *client)
{
    static char text[LONG];
    microvm_error err;
    ask(client, "{\"cmd\":\"ping\"}", 14);
    memset(text, 'x', sizeof text);
    ask(client, text, sizeof text);
    from_many_threads(client);
    fails(client, 99, 300, MICROVM_E_IO, "refused");
    fails(client, SILENT, 300, MICROVM_E_TIMEOUT, "in time");
    ends_in_order(client);
    /* A reset, when it has closed over what was sent. */
    fails(client, CLOSE, ANSWER_MS, MICROVM_E_IO, "client: the ");
    from_the_past(runtime);
    if (microvm_runtime_spawn(runtime, &err) != MICROVM_E_STATE)
        drive_fail("it was spawned twice");
    if (!microvm_runtime_is_running(runtime))
        drive_fail("it runs, and says that it does not");
}

int main(int argc, char **argv)
{
    microvm_error err;
    microvm_client *client;
    microvm_runtime_config config = MICROVM_RUNTIME_CONFIG_INIT;
    struct reader quick = {.length = 0}, slow = {.length = 0};
    pthread_t thread, waits;
    config.memory_mb = 256;
    config.initrd_path = value_of(argc, argv, "initrd");
    config.cmdline = "-- ask vsock-serve";
    config.console_history = KEPT;
    refuse(config, NULL, "Kernel image not found");
    refuse(config, "", "Kernel image not found");
    refuse(config, "/nonexistent/vmlinuz", "Kernel not found at: /nonexistent/vmlinuz");
    microvm_config *machine = microvm_config_new();
    microvm_config_set(machine, "cpus", "2");
    config.machine = machine; /* may have a kernel, but has none */
    refuse(config, NULL, "kernel: not given; a machine needs a bzImage or vmlinux");
    if (strcmp(microvm_hypervisor_name(), "KVM"))
        drive_fail("the hypervisor is %s", microvm_hypervisor_name());
    config.kernel_path = value_of(argc, argv, "kernel");
    microvm_runtime *runtime = microvm_runtime_new(&config, &client, &err);
    if (!runtime)
        drive_fail("%s", err.message);
    microvm_config_free(machine); /* was copied */
    if (microvm_runtime_is_running(runtime))
        drive_fail("it runs already");
    quick.subscriber = subscribe(runtime, 0);
    slow.subscriber = subscribe(runtime, 0);
    if (pthread_create(&thread, NULL, read_on, &quick))
        drive_fail("no thread");
    drive_check("spawn", microvm_runtime_spawn(runtime, &err), &err);
    has_what_it_was_given(runtime);
    types(runtime);
    serve(runtime, client);
    /* Calls that wait for ever end with the runtime. */
    if (pthread_create(&waits, NULL, wait_for_silence, client))
        drive_fail("no thread");
    drive_sleep_ms(200);
    types_too_much(runtime);
    microvm_runtime_free(runtime);
    (void)pthread_join(waits, NULL);
    fails(client, ECHO, 1000, MICROVM_E_NOT_RUNNING, "freed");
    microvm_client_free(client);
    (void)pthread_join(thread, NULL);
    (void)read_on(&slow);
    compare(&quick, &slow);
    microvm_subscriber_free(quick.subscriber);
    microvm_subscriber_free(slow.subscriber);
    free(quick.text);
    free(slow.text);
    return 0;
}
