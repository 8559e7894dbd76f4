/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Figures that take a few lines each: what a system call costs here (which explains
 * the guest kernel's share of everything else), entropy, consoles, sleep, memory.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

void small_call(const char *name)
{
    enum { CALLS = 50000 };
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
    bench_rate(name, "us", (double)(bench_now_ns() - begin) / 1e3 / CALLS, CALLS);
}

/* Linux asks the device for 64 bytes at a time, so this is a latency. */
void small_random(const char *name)
{
    char bytes[4096];
    uint64_t total = 0;
    int fd = open(bench_arg("brng", "/dev/hwrng"), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, 64);
    if (n > 0)
        bench_go(name);
    uint64_t begin = bench_now_ns(), end = bench_until(bench_seconds() / 2);
    for (; n > 0 && bench_more(end, total, 300 * 64); total += (uint64_t)n)
        n = read(fd, bytes, sizeof bytes);
    double took = (double)(bench_now_ns() - begin);
    if (n <= 0) {
        bench_fail(name, "read");
    } else {
        bench_end();
        bench_rate(name, "MB/s", (double)total * 1e3 / took, total);
    }
    if (fd >= 0)
        close(fd);
}

static void terminal(const char *name, const char *path)
{
    char block[512];
    struct termios t;
    uint64_t n = 0, most = (uint64_t)(bench_number("bcon", "10") * 1e6);
    int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        bench_fail(name, path);
        return;
    }
    if (!tcgetattr(fd, &t)) {
        t.c_oflag &= ~(tcflag_t)OPOST;
        tcsetattr(fd, TCSANOW, &t);
    }
    memset(block, '.', sizeof block);
    for (size_t i = 127; i < sizeof block; i += 128)
        block[i] = '\n';
    bench_go(name);
    uint64_t begin = bench_now_ns(), end = bench_until(bench_seconds());
    ssize_t r = 0;
    for (; n < most && r >= 0 && bench_more(end, n, 4 * sizeof block);
         n += r > 0 ? (uint64_t)r : 0)
        r = write(fd, block, sizeof block);
    tcdrain(fd);
    double took = (double)(bench_now_ns() - begin);
    if (r < 0) {
        bench_fail(name, "write");
    } else {
        bench_end();
        bench_rate(name, "MB/s", (double)n * 1e3 / took, n);
    }
    close(fd);
}

void small_serial(const char *name)
{
    terminal(name, "/dev/ttyS0");
}

void small_hvc(const char *name)
{
    terminal(name, "/dev/hvc0");
}

void small_idle(const char *name)
{
    (void)name;
    bench_say("BENCH-MARK idle\n");
    usleep((useconds_t)(bench_number("bidle", "6") * 1e6));
    bench_say("BENCH-MARK idle-end\n");
}

void small_touch(const char *name)
{
    enum { PAGE = 4096 };
    size_t bytes = (size_t)bench_number("bmem", "200") << 20, pages = bytes / PAGE;
    char *p =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        bench_fail(name, "mmap");
        return;
    }
    uint64_t begin = bench_now_ns();
    for (size_t i = 0; i < bytes; i += PAGE)
        p[i] = 1;
    bench_rate(name, "us/page", (double)(bench_now_ns() - begin) / 1e3 / (double)pages,
               pages);
    bench_say("BENCH-MARK mem\n");
    usleep(700000); /* the host looks at the VMM's memory now */
    munmap(p, bytes);
}
