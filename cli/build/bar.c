/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bar. It knows nothing of what it shows.
 */
#include "bar.h"

#include "cli.h"
#include "term.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REDRAW_MS = 100, WIDTH = 28, RATE_FROM_MS = 200 };

static uint64_t now_ms(void)
{
    struct timespec now = {0, 0};
    (void)timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void bar_size(char text[BAR_SIZE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes / 1024;
    unsigned unit = 0;
    while (value >= 1024 && unit < 3) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, BAR_SIZE_TEXT, "%.1f %s", value, units[unit]);
}

void bar_begin(struct bar *bar, bool quiet)
{
    memset(bar, 0, sizeof *bar);
    bar->quiet = quiet;
    bar->terminal = term_is_terminal(2);
}

static void bar_clear(struct bar *bar)
{
    if (bar->drawn)
        (void)fputs("\r\033[K", stderr);
    bar->drawn = false;
}

static void bar_draw(struct bar *bar, uint64_t now, uint64_t done, uint64_t total)
{
    char size[BAR_SIZE_TEXT], rate[BAR_SIZE_TEXT] = "", drawn[WIDTH + 1];
    uint64_t took = now - bar->step_ms;
    unsigned full = total ? (unsigned)((double)done * WIDTH / (double)total) : 0;
    for (unsigned i = 0; i < WIDTH; i++)
        drawn[i] = i < full ? '#' : '.';
    drawn[WIDTH] = '\0';
    bar_size(size, done);
    if (took >= RATE_FROM_MS)
        bar_size(rate, done * 1000 / took);
    (void)fprintf(stderr, "\r\033[K%-12.30s %s%s %s%s%s", bar->step, total ? drawn : "",
                  total ? "" : "...", size, *rate ? ", " : "", rate);
    if (*rate)
        (void)fputs("/s", stderr);
    (void)fflush(stderr);
    bar->drawn = true;
    bar->shown_ms = now;
}

void bar_show(struct bar *bar, const char *step, uint64_t done, uint64_t total)
{
    uint64_t now;
    if (bar->quiet)
        return;
    now = now_ms();
    if (strncmp(bar->step, step, sizeof bar->step - 1)) {
        (void)snprintf(bar->step, sizeof bar->step, "%s", step);
        bar->step_ms = now;
        bar->shown_ms = 0;
        if (!bar->terminal)
            say("%s", bar->step);
    }
    if (bar->terminal && now - bar->shown_ms >= REDRAW_MS)
        bar_draw(bar, now, done, total);
}

void bar_end(struct bar *bar)
{
    bar_clear(bar);
}
