/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of the measuring guest share: words of the command line, the clock,
 * and the lines that it says to the host (main.c has the protocol). A figure is one
 * function, which warms up, calls bench_go(), works, calls bench_end() and says what
 * it found; or says bench_fail() and returns.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

typedef void bench_figure(const char *name);

bench_figure disk_read_one, disk_write_one, disk_read_many, disk_read_large,
    disk_write_large, disk_write_flush, disk_flush_clean;
bench_figure stream_ping, stream_send, stream_receive, stream_connect, stream_listen;
bench_figure small_call, small_random, small_serial, small_hvc, small_idle, small_touch;

/* The value of word KEY=VALUE, else `otherwise`. */
const char *bench_arg(const char *key, const char *otherwise);
double bench_number(const char *key, const char *otherwise);
/* Seconds that a throughput figure takes. */
double bench_seconds(void);
int bench_is_init(void);

uint64_t bench_now_ns(void);
/* The time `seconds` from now. */
uint64_t bench_until(double seconds);
/* Whether to go on: while there is time, and where the host counts until there have
 * been `least` operations too, because a count of few is one of this file's own lines.
 */
int bench_more(uint64_t end_ns, uint64_t done, uint64_t least);
uint64_t bench_random(void);

void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_fail(const char *name, const char *what);
void bench_rate(const char *name, const char *unit, double value, uint64_t count);
/* One operation's time, and the line with median and p99 of all since the last one. */
void bench_took(uint64_t ns);
unsigned bench_taken(void);
void bench_times(const char *name);

/* What is to be counted on the host lies between these two. */
void bench_go(const char *name);
void bench_end(void);

enum { BENCH_TIMES_MAX = 20000 };

#endif
