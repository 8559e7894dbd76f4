/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's /init for device measurements; also an ordinary program, for a row
 * without a VM. It takes words from the kernel command line, or from its arguments:
 *
 *   bench=LIST    groups (blk) or figures (blk_read_qd1), separated by commas
 *   bcount=1      stand still before each figure, so that the host can count it
 *   bsec=2        seconds per throughput figure
 *   bdisk=/dev/vda  its contents are overwritten;  bdirect=1
 *   bip=A.B.C.D   own address of eth0, /24;  bpeer=A.B.C.D  bport=7000
 *   buds=PATH     vsock figures over unix sockets PATH_PORT (row without a VM)
 *   bcon=10       MB to a console at most;  bmem=200  MiB to touch;  bidle=6  seconds
 *
 * and answers on the console, each line in one write:
 *
 *   BENCH-UP      runs                     BENCH-GO NAME  the figure begins in 0.3 s
 *   BENCH-MARK X  the host has to act      BENCH-END      the figure has ended
 *   BENCH {json}  a figure, or its error   BENCH-DONE     all of them; then it reboots
 *
 * Where the host counts, nothing happens for 0.3 s after BENCH-GO and BENCH-END, so
 * that it can begin and end counting; the price of the pauses and of a line is the
 * figure "none", which it subtracts.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_MAX = 96, PAUSE_US = 300 * 1000 };

static char text[8192];
static char *word[WORDS_MAX];
static unsigned words;
static int console = STDOUT_FILENO;
static double seconds;
static int counting;
static uint32_t times[BENCH_TIMES_MAX];
static unsigned taken;

/* -- words and time -- */

static void words_split(void)
{
    char *rest;
    for (char *w = strtok_r(text, " \n", &rest); w && words < WORDS_MAX;
         w = strtok_r(NULL, " \n", &rest))
        word[words++] = w;
}

const char *bench_arg(const char *key, const char *otherwise)
{
    size_t n = strlen(key);
    for (unsigned i = 0; i < words; i++) {
        if (!strncmp(word[i], key, n) && word[i][n] == '=')
            return word[i] + n + 1;
    }
    return otherwise;
}

double bench_number(const char *key, const char *otherwise)
{
    return atof(bench_arg(key, otherwise));
}

double bench_seconds(void)
{
    return seconds;
}

int bench_is_init(void)
{
    return getpid() == 1;
}

uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t bench_until(double length)
{
    return bench_now_ns() + (uint64_t)(length * 1e9);
}

int bench_more(uint64_t end_ns, uint64_t done, uint64_t least)
{
    return bench_now_ns() < end_ns || (counting && done < least);
}

uint64_t bench_random(void)
{
    static uint64_t seed;
    if (!seed)
        seed = bench_now_ns() | 1;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* -- lines for the host -- */

void bench_say(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0 && write(console, line, (size_t)n) != n)
        return; /* nobody to tell */
    if (bench_is_init())
        tcdrain(console);
}

void bench_fail(const char *name, const char *what)
{
    bench_say("BENCH {\"test\":\"%s\",\"error\":\"%s: %s\"}\n", name, what,
              errno ? strerror(errno) : "no");
}

void bench_rate(const char *name, const char *unit, double value, uint64_t count)
{
    bench_say("BENCH {\"test\":\"%s\",\"unit\":\"%s\",\"value\":%.6g,\"n\":%llu}\n",
              name, unit, value, (unsigned long long)count);
}

void bench_took(uint64_t ns)
{
    if (taken < BENCH_TIMES_MAX)
        times[taken++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

unsigned bench_taken(void)
{
    return taken;
}

static int times_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void bench_times(const char *name)
{
    unsigned n = taken;
    taken = 0;
    if (n < 10) {
        errno = 0;
        bench_fail(name, "too few operations");
        return;
    }
    qsort(times, n, sizeof times[0], times_order);
    bench_say("BENCH {\"test\":\"%s\",\"unit\":\"us\",\"value\":%.2f,\"p99\":%.2f,"
              "\"min\":%.2f,\"n\":%u}\n",
              name, times[n / 2] / 1e3, times[n * 99ull / 100] / 1e3, times[0] / 1e3,
              n);
}

void bench_go(const char *name)
{
    taken = 0;
    if (!counting)
        return;
    bench_say("BENCH-GO %s\n", name);
    usleep(PAUSE_US);
}

void bench_end(void)
{
    if (!counting)
        return;
    bench_say("BENCH-END\n");
    usleep(PAUSE_US);
}

/* -- figures -- */

static void figure_none(const char *name)
{
    bench_go(name);
    bench_end();
    bench_rate(name, "", 0, 1);
}

static const struct {
    const char *group, *name;
    bench_figure *run;
} figures[] = {
    {"none", "none", figure_none},
    {"sys", "sys_call", small_call},
    {"blk", "blk_read_qd1", disk_read_one},
    {"blk", "blk_write_qd1", disk_write_one},
    {"blk", "blk_read_qd32", disk_read_many},
    {"blk", "blk_read_seq", disk_read_large},
    {"blk", "blk_write_seq", disk_write_large},
    {"blk", "blk_flush", disk_write_flush},
    {"blk", "blk_flush_clean", disk_flush_clean},
    {"net", "net_ping", stream_ping},
    {"net", "net_send", stream_send},
    {"net", "net_recv", stream_receive},
    {"net", "net_conn", stream_connect},
    {"vsock", "vsock_ping", stream_ping},
    {"vsock", "vsock_send", stream_send},
    {"vsock", "vsock_recv", stream_receive},
    {"vsock", "vsock_conn", stream_connect},
    {"vsockl", "vsockl", stream_listen},
    {"rng", "rng", small_random},
    {"con", "con_serial", small_serial},
    {"hvc", "con_hvc", small_hvc},
    {"idle", "idle", small_idle},
    {"mem", "mem_touch", small_touch},
};

static int listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; (p = strstr(p, name)); p += n) {
        if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ','))
            return 1;
    }
    return 0;
}

static void run_listed(const char *list)
{
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        if (listed(list, figures[i].group) || listed(list, figures[i].name))
            figures[i].run(figures[i].name);
    }
}

/* -- as /init -- */

/* The console without changes to what is written. */
static void console_open(void)
{
    struct termios t;
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0)
        return;
    console = fd;
    if (!tcgetattr(fd, &t)) {
        t.c_oflag &= ~(tcflag_t)OPOST;
        tcsetattr(fd, TCSANOW, &t);
    }
}

static void init_begin(void)
{
    mkdir("/proc", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    if (fd >= 0)
        close(fd);
    console_open();
}

static void arguments_join(int argc, char **argv)
{
    size_t n = 0;
    for (int i = 1; i < argc && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ", argv[i]);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (bench_is_init())
        init_begin();
    else
        arguments_join(argc, argv);
    words_split();
    seconds = bench_number("bsec", "2");
    counting = (int)bench_number("bcount", "0");
    bench_say("\nBENCH-UP\n");
    run_listed(bench_arg("bench", "sys"));
    bench_say("BENCH-DONE\n");
    if (bench_is_init())
        reboot(RB_AUTOBOOT);
    return 0;
}
