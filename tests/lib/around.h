/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The world around a chip, for unit tests and fuzz targets: an interrupt line that
 * counts and a host's end of a character stream with as much room and input as the test
 * says. In a header because fuzz targets link nothing of the test library.
 */
#ifndef TESTS_LIB_AROUND_H
#define TESTS_LIB_AROUND_H

#include "core/chardev.h"
#include "core/irq.h"
#include "util/assert.h"
#include "util/bytes.h"

struct around_line {
    bool level;
    unsigned rises, pulses;
};

/* Telling the line the level it has is a defect of the chip: it may be a system call.
 */
static inline void around_line_set(void *controller, unsigned line, bool level)
{
    struct around_line *lines = controller;
    MV_ASSERT(level != lines[line].level);
    lines[line].level = level;
    lines[line].rises += level;
}

static inline void around_line_pulse(void *controller, unsigned line)
{
    struct around_line *lines = controller;
    lines[line].pulses++;
}

static inline struct mv_irq around_irq(struct around_line *line)
{
    return (struct mv_irq){around_line_set, around_line_pulse, line, 0};
}

struct around_host {
    uint8_t out[512];
    size_t out_length; /* of what was put, also beyond the end of out */
    size_t room;       /* what put still takes */
    const uint8_t *in;
    size_t in_length; /* what get still gives */
};

static inline size_t around_put(void *ctx, const void *data, size_t length)
{
    struct around_host *host = ctx;
    size_t taken = MV_MIN(length, host->room);
    for (size_t i = 0; i < taken; i++)
        host->out[(host->out_length + i) % sizeof host->out] =
            ((const uint8_t *)data)[i];
    host->out_length += taken;
    host->room -= taken;
    return taken;
}

static inline size_t around_get(void *ctx, void *data, size_t length)
{
    struct around_host *host = ctx;
    size_t given = MV_MIN(length, host->in_length);
    if (given == 0)
        return 0; /* in may be NULL */
    memcpy(data, host->in, given);
    host->in += given;
    host->in_length -= given;
    return given;
}

static inline struct mv_chardev around_chardev(struct around_host *host)
{
    return (struct mv_chardev){.put = around_put, .get = around_get, .ctx = host};
}

#endif
