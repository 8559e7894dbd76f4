/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A service is there as long as the guest is: one that fails is started again, at once
 * when it has run for a while, else after a pause that doubles each time; one that ends
 * with status 0 was told to, and the guest ends with it. All begin together. There is
 * no order among them, no conditions, no user but root: who needs more has a first
 * process of his own.
 */
#define _GNU_SOURCE
#include "services.h"

#include "guest/lib/loop.h"
#include "launch.h"
#include "power.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVICES_FILE "/etc/microvm/services"
enum {
    SERVICES_MAX = 16,
    WORDS_MAX = 32,
    FILE_BYTES = 4096,
    STEADY_MS = 10000, /* who has run for so long fails by accident */
    PAUSE_MS = 250,
    PAUSE_MOST_MS = 16000
};

struct service {
    char *argv[WORDS_MAX + 1];
    pid_t pid;        /* -1: does not run */
    int64_t at_ms;    /* when it was started, or is to be */
    int64_t pause_ms; /* before it is started again */
};

static struct service services[SERVICES_MAX];
static unsigned count;

/* ---- starting -------------------------------------------------------------------- */

static void service_fails(struct service *service)
{
    int64_t now_ms = loop_now_ms();
    bool steady = service->pid >= 0 && now_ms - service->at_ms >= STEADY_MS;
    service->pid = -1;
    service->at_ms = now_ms + (steady ? 0 : service->pause_ms);
    service->pause_ms = steady                                  ? PAUSE_MS
                        : 2 * service->pause_ms < PAUSE_MOST_MS ? 2 * service->pause_ms
                                                                : PAUSE_MOST_MS;
}

/* Nothing to read, our own console to speak to. */
static void service_start(struct service *service)
{
    static char *const env[] = {(char *)(uintptr_t) "PATH=" LAUNCH_PATH, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct launch launch = {.argv = service->argv, .env = env, .fd = {null, 1, 2}};
    struct launch_failure failure = {"/dev/null", errno};
    service->pid = null < 0 ? -1 : launch_run(&launch, &failure);
    if (service->pid < 0) {
        system_say("%s: %s: %s", service->argv[0], failure.what,
                   strerror(failure.error));
        service_fails(service);
    } else {
        service->at_ms = loop_now_ms();
    }
    if (null >= 0)
        (void)close(null);
}

int64_t services_step(void)
{
    int64_t next_ms = -1, now_ms = loop_now_ms();
    for (unsigned i = 0; i < count && !power_has_begun(); i++) {
        struct service *service = &services[i];
        if (service->pid < 0 && service->at_ms <= now_ms)
            service_start(service);
        if (service->pid < 0 && (next_ms < 0 || service->at_ms - now_ms < next_ms))
            next_ms = service->at_ms - now_ms;
    }
    return next_ms;
}

void services_reaped(int pid, int status)
{
    for (unsigned i = 0; i < count && !power_has_begun(); i++) {
        struct service *service = &services[i];
        if (service->pid != pid)
            continue;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            (void)power_begin(false);
            return;
        }
        service_fails(service);
        system_say("%s: %s %d", service->argv[0],
                   WIFSIGNALED(status) ? "ended by signal" : "ended with status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

/* ---- the file -------------------------------------------------------------------- */

/* Words between blanks; a line that begins with # is a remark. */
static void services_read_line(char *line)
{
    struct service *service = &services[count];
    unsigned words = 0;
    char *word;
    while ((word = strsep(&line, " \t"))) {
        if (*word == '#' && words == 0)
            return;
        if (*word && words == WORDS_MAX) {
            system_say(SERVICES_FILE ": %s: more than %d words", service->argv[0],
                       WORDS_MAX);
            return;
        }
        if (*word)
            service->argv[words++] = word;
    }
    service->argv[words] = NULL;
    if (words) {
        service->pid = -1;
        service->pause_ms = PAUSE_MS;
        count++;
    }
}

void services_open(void)
{
    static char text[FILE_BYTES];
    char *next = text, *line;
    int fd = open(SERVICES_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : 0;
    if (fd >= 0)
        (void)close(fd);
    if (length < 0 || length == (ssize_t)sizeof text) {
        system_say(SERVICES_FILE ": %s",
                   length < 0 ? strerror(errno) : "it is too large");
        return;
    }
    while ((line = strsep(&next, "\n"))) {
        if (count < SERVICES_MAX)
            services_read_line(line);
        else if (*line)
            system_say(SERVICES_FILE ": no more than %d: %s", SERVICES_MAX, line);
    }
    (void)services_step();
}
