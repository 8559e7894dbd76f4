/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bar, what has been moved and how fast, in the terminal's width.
 */
#include "progress.h"

#include "cli.h"
#include "term.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { BAR = 24, LINE_BYTES = 256 };
#define QUICK_S 0.5
#define AGAIN_S 0.1

static double now_s(void)
{
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    return (double)now.tv_sec + (double)now.tv_usec / 1e6;
}

/* "12.3 MiB" */
static void put_size(char out[16], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    for (; bytes >= 1000 && unit < 6; unit++)
        bytes /= 1024;
    (void)snprintf(out, 16, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes,
                   units[unit]);
}

void progress_begin(struct progress *progress, const char *what, bool off)
{
    *progress = (struct progress){
        .what = what, .off = off || !term_is_terminal(2), .began_s = now_s()};
}

void progress_show(struct progress *progress, uint64_t bytes, uint64_t total,
                   uint64_t entries)
{
    double now = now_s(), taken = now - progress->began_s;
    char done[16], all[16], rate[16], bar[BAR + 3] = "", line[LINE_BYTES];
    uint16_t columns = 80, rows;
    if (progress->off || taken < QUICK_S || now - progress->shown_s < AGAIN_S)
        return;
    progress->shown_s = now;
    progress->shown = true;
    put_size(done, (double)bytes);
    put_size(rate, (double)bytes / taken);
    if (total > 0) {
        double part = bytes < total ? (double)bytes / (double)total : 1;
        memset(bar, ' ', BAR + 2);
        bar[0] = '[';
        memset(bar + 1, '#', (size_t)(part * (double)BAR));
        bar[BAR + 1] = ']';
        put_size(all, (double)total);
        (void)snprintf(line, sizeof line, "%s %s %3.0f %%  %s of %s  %s/s",
                       progress->what, bar, part * 100, done, all, rate);
    } else {
        (void)snprintf(line, sizeof line, "%s: %llu entries, %s  %s/s", progress->what,
                       (unsigned long long)entries, done, rate);
    }
    (void)term_size(&columns, &rows);
    (void)fprintf(stderr, "\r%.*s\033[K", columns > 1 ? columns - 1 : 79, line);
    (void)fflush(stderr);
}

void progress_clear(struct progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    progress->shown = false;
}
