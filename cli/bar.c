/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bar. It knows nothing of what it shows. The estimate is what the rate since the
 * step began says.
 */
#include "bar.h"

#include "cli.h"
#include "term.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { REDRAW_MS = 100, SAY_AGAIN_MS = 15000, RATE_FROM_MS = 200, WIDTH = 24 };
enum { LINE_BYTES = 320 };

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

/* ---- the numbers ----------------------------------------------------------------- */

static void bar_amount(const struct bar *bar, char text[BAR_SIZE_TEXT], uint64_t amount)
{
    if (bar->unit)
        (void)snprintf(text, BAR_SIZE_TEXT, "%" PRIu64, amount);
    else
        bar_size(text, amount);
}

/* ", 12/s, 1:24 left" */
static void bar_rate(const struct bar *bar, char *text, size_t size, uint64_t now,
                     uint64_t done, uint64_t total)
{
    char rate_text[BAR_SIZE_TEXT], left_text[32] = "";
    uint64_t took = now - bar->step_ms;
    double rate = took ? (double)(done - bar->begun) * 1000 / (double)took : 0;
    *text = '\0';
    if (took < RATE_FROM_MS || done <= bar->begun)
        return;
    bar_amount(bar, rate_text, (uint64_t)rate);
    if (total > done) {
        uint64_t left = (uint64_t)((double)(total - done) / rate);
        (void)snprintf(left_text, sizeof left_text, ", %" PRIu64 ":%02" PRIu64 " left",
                       left / 60, left % 60);
    }
    (void)snprintf(text, size, ", %s/s%s", rate_text, left_text);
}

/* "970 of 2300 steps, 12/s, 1:24 left" */
static void bar_numbers(const struct bar *bar, char *text, size_t size, uint64_t now,
                        uint64_t done, uint64_t total)
{
    char done_text[BAR_SIZE_TEXT], total_text[BAR_SIZE_TEXT], rate[80];
    bar_amount(bar, done_text, done);
    bar_amount(bar, total_text, total);
    bar_rate(bar, rate, sizeof rate, now, done, total);
    (void)snprintf(text, size, "%s%s%s%s%s%s", done_text, total ? " of " : "",
                   total ? total_text : "", bar->unit ? " " : "",
                   bar->unit ? bar->unit : "", rate);
}

/* Totals can be estimates: nothing is finished before it is. */
static unsigned bar_percent(uint64_t done, uint64_t total)
{
    double percent = total ? (double)done * 100 / (double)total : 0;
    return percent < 99 || done == total ? (unsigned)percent : 99;
}

/* ---- showing them ---------------------------------------------------------------- */

static void bar_draw(struct bar *bar, const char *numbers, unsigned percent, bool known)
{
    char drawn[WIDTH + 1], line[LINE_BYTES];
    uint16_t columns = 80, rows;
    for (unsigned i = 0; i < WIDTH; i++)
        drawn[i] = i < percent * WIDTH / 100 ? '#' : '.';
    drawn[WIDTH] = '\0';
    if (known)
        (void)snprintf(line, sizeof line, "%-10s %s %2u%%  %s", bar->step, drawn,
                       percent, numbers);
    else
        (void)snprintf(line, sizeof line, "%-10s ... %s", bar->step, numbers);
    (void)term_size(&columns, &rows);
    if (columns && strlen(line) >= columns)
        line[columns - 1] = '\0';
    (void)fprintf(stderr, "\r\033[K%s", line);
    (void)fflush(stderr);
    bar->drawn = true;
}

void bar_show(struct bar *bar, const char *step, uint64_t done, uint64_t total)
{
    char numbers[160];
    if (bar->quiet)
        return;
    uint64_t now = term_clock_ms();
    if (strncmp(bar->step, step, sizeof bar->step - 1)) {
        (void)snprintf(bar->step, sizeof bar->step, "%s", step);
        bar->step_ms = now;
        bar->begun = done;
        bar->shown_ms = bar->terminal ? 0 : now;
        if (!bar->terminal)
            say("%s", bar->step);
    }
    if (now - bar->step_ms < bar->later_ms ||
        now - bar->shown_ms < (bar->terminal ? REDRAW_MS : SAY_AGAIN_MS))
        return;
    bar->shown_ms = now;
    bar_numbers(bar, numbers, sizeof numbers, now, done, total);
    if (bar->terminal)
        bar_draw(bar, numbers, bar_percent(done, total), total != 0);
    else if (total)
        say("%s: %u%%, %s", bar->step, bar_percent(done, total), numbers);
}

void bar_end(struct bar *bar)
{
    bar_clear(bar);
}
