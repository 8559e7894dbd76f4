/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Create, start, kill, free, COUNT times, each killed at a random moment up to LONGEST
 * milliseconds after its start: during the boot, or before the first instruction. The
 * process must end as it began: descriptors, threads, mappings and the bytes that
 * malloc has given out are compared, after the first cycles have filled what is
 * allocated once.
 *
 * Usage: api_cycles COUNT LONGEST KEY=VALUE...
 */
#define _GNU_SOURCE
#include "drive.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * mallinfo counts what malloc keeps at hand for each thread as given out, a few KiB
 * that come and go; 500 cycles with the smallest leak there is, 16 bytes, are 8000.
 */
enum { WARM_UP = 20, HEAP_SLACK = 4096 };

struct footprint {
    long descriptors, threads, mappings, heap_bytes, resident_kib;
};

static long count_entries(const char *path)
{
    long count = 0;
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static struct footprint take_footprint(void)
{
    struct footprint f = {0};
    char line[512];
    /* A joined thread stays in /proc until the kernel has taken it down. */
    for (int i = 0; i < 100 && count_entries("/proc/self/task") > 1; i++)
        drive_sleep_ms(10);
    f.threads = count_entries("/proc/self/task");
    f.descriptors = count_entries("/proc/self/fd");
    malloc_trim(0);
    f.heap_bytes = (long)mallinfo2().uordblks;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps))
        f.mappings++;
    if (maps)
        fclose(maps);
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm && fgets(line, sizeof line, statm))
        f.resident_kib = strtol(strchr(line, ' '), NULL, 10) * 4;
    if (statm)
        fclose(statm);
    return f;
}

static void one_cycle(microvm_config *config, uint64_t delay_us)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    intptr_t console;
    microvm *vm = microvm_new(config, &err);
    if (!vm)
        drive_fail("microvm_new: %s", err.message);
    drive_check("console_open", microvm_console_open(vm, &console, &err), &err);
    drive_check("start", microvm_start(vm, &err), &err);
    usleep((useconds_t)delay_us);
    drive_check("kill", microvm_kill(vm, &err), &err);
    drive_check("wait", microvm_wait(vm, 0, &end, &err), &err);
    if (end.reason != MICROVM_EXIT_KILLED)
        drive_fail("ended with reason %d: %s", end.reason, end.message);
    /* In either order: the console outlives the machine, or is closed before. */
    if (delay_us & 1)
        microvm_console_close(console);
    microvm_free(vm);
    if (!(delay_us & 1))
        microvm_console_close(console);
}

static void compare(const char *what, long before, long after, long allowed)
{
    printf("%s: %ld, then %ld\n", what, before, after);
    if (after > before + allowed)
        drive_fail("%s grew from %ld to %ld", what, before, after);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    long count = strtol(argv[1], NULL, 10),
         longest_us = strtol(argv[2], NULL, 10) * 1000;
    microvm_config *config =
        drive_config(argc - 3, argv + 3, "quiet -- uname touch=32 sleep");
    struct footprint before = {0};
    unsigned seed = 1;
    for (long i = 0; i < WARM_UP + count; i++) {
        if (i == WARM_UP)
            before = take_footprint();
        /* Half of the kills come within the first tenth of the time. */
        long most = i & 1 ? longest_us / 10 : longest_us;
        one_cycle(config, (uint64_t)(rand_r(&seed) % (most + 1)));
    }
    struct footprint after = take_footprint();
    microvm_config_free(config);
    printf("%ld cycles\n", count);
    compare("descriptors", before.descriptors, after.descriptors, 0);
    compare("threads", before.threads, after.threads, 0);
    compare("mappings", before.mappings, after.mappings, 2);
    compare("heap bytes", before.heap_bytes, after.heap_bytes, HEAP_SLACK);
    compare("resident KiB", before.resident_kib, after.resident_kib, 512);
    return 0;
}
