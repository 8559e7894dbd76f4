/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Commands that tell what the guest sees of its machine. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* How many processors are online, and that each one runs a program. */
void guest_cpus(const char *arg)
{
    (void)arg;
    long online = sysconf(_SC_NPROCESSORS_ONLN), ran = 0;
    for (long i = 0; i < online; i++) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)i, &set);
        if (sched_setaffinity(0, sizeof set, &set) == 0 && sched_getcpu() == i)
            ran++;
    }
    printf("MV cpus %ld\nMV cpus_ran %ld\n", online, ran);
}

static void print_fields(const char *name, const char *path, const char *field)
{
    char line[4096];
    FILE *f = fopen(path, "re");
    if (!f) {
        guest_trouble(name, path);
        return;
    }
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, field, strlen(field)) == 0)
            printf("MV %s %s", name, line + strlen(field));
    }
    fclose(f);
}

void guest_mem(const char *arg)
{
    (void)arg;
    print_fields("memtotal", "/proc/meminfo", "MemTotal:");
}

void guest_uname(const char *arg)
{
    (void)arg;
    struct utsname u;
    uname(&u);
    printf("MV uname %s %s %s\n", u.sysname, u.release, u.machine);
}

void guest_hypervisor(const char *arg)
{
    (void)arg;
    char line[8192];
    int found = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5) == 0 && strstr(line, " hypervisor"))
            found = 1;
    }
    if (f)
        fclose(f);
    printf("MV hypervisor %d\n", found);
}

static long long clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Writes and reads back ARG MiB of anonymous memory, each page with its own number. */
void guest_touch(const char *arg)
{
    size_t words = strtoul(arg, NULL, 10) << 17;
    size_t page = 4096 / sizeof(uint64_t), wrong = 0;
    uint64_t *p = mmap(NULL, words * sizeof *p, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        guest_trouble("touch", "mmap");
        return;
    }
    for (size_t i = 0; i < words; i += page)
        p[i] = i * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < words; i += page)
        wrong += p[i] != i * 0x9e3779b97f4a7c15u;
    printf("MV touch %zu pages, %zu wrong\n", words / page, wrong);
    munmap(p, words * sizeof *p);
}

static void say_memory(void)
{
    struct sysinfo info;
    if (sysinfo(&info))
        guest_trouble("memory", "sysinfo");
    else
        printf("MV memory %lu %lu\n", info.totalram * info.mem_unit >> 10,
               info.freeram * info.mem_unit >> 10);
}

/* Answers lines from the console: "time", "memory" (in all and free, KiB), "touch MIB",
 * "echo TEXT"; "quit" ends it. */
void guest_ask(const char *arg)
{
    (void)arg;
    char line[512];
    printf("MV ask ready\n");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, "time") == 0)
            printf("MV time %lld %lld\n", clock_ns(CLOCK_MONOTONIC),
                   clock_ns(CLOCK_REALTIME));
        else if (strcmp(line, "memory") == 0)
            say_memory();
        else if (strncmp(line, "touch ", 6) == 0)
            guest_touch(line + 6);
        else if (strncmp(line, "echo ", 5) == 0)
            printf("MV echo [%s]\n", line + 5);
        else if (strcmp(line, "quit") == 0)
            return;
    }
}

/* 4 KiB from the virtio entropy device; says how many different byte values came. */
void guest_rng(const char *arg)
{
    (void)arg;
    unsigned char bytes[4096], seen[256] = {0};
    size_t got = 0, values = 0;
    guest_wait_for("/dev/hwrng");
    int fd = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && got < sizeof bytes) {
        ssize_t n = read(fd, bytes + got, sizeof bytes - got);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (got < sizeof bytes) {
        guest_trouble("rng", "/dev/hwrng");
    } else {
        for (size_t i = 0; i < got; i++)
            values += !seen[bytes[i]]++;
        printf("MV rng %zu values\n", values);
    }
    if (fd >= 0)
        close(fd);
}
