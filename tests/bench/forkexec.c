/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * In a guest: what it costs to start a program and wait for its end, so many times, as
 * nanoseconds, the median.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000 };

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int once(char **argv)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execv(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return status;
}

int main(int argc, char **argv)
{
    static uint64_t took[MOST];
    int times = argc > 2 ? atoi(argv[1]) : 0;
    if (times < 1 || times > MOST)
        return 2;
    for (int i = 0; i < times; i++) {
        uint64_t began = now_ns();
        if (once(argv + 2))
            return 1;
        took[i] = now_ns() - began;
    }
    qsort(took, (size_t)times, sizeof took[0], compare);
    (void)printf("%llu\n", (unsigned long long)took[times / 2]);
    return 0;
}
