/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the tests of disks without a device share: a loop, a scratch image, the last
 * line that was logged.
 */
#ifndef TESTS_UNIT_DISK_BED_H
#define TESTS_UNIT_DISK_BED_H

#include "check.h"

#include "backing/disk_impl.h"
#include "scratch.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct mv_loop loop;
    struct mv_log log;
    char line[256]; /* the last one logged */
    char path[SCRATCH_PATH];
    struct mv_disk_config config;
    struct mv_disk *disk;
};

static inline void keep_line(void *user, int level, const char *text)
{
    struct fixture *f = user;
    (void)level;
    (void)snprintf(f->line, sizeof f->line, "%s", text);
}

static inline void setup(struct fixture *f)
{
    microvm_error err;
    *f = (struct fixture){.config.path = NULL};
    f->config.path = f->path;
    f->log = (struct mv_log){keep_line, f, MICROVM_LOG_DEBUG};
    assert_ok(mv_loop_open(&f->loop, &err), &err);
}

static inline void teardown(struct fixture *f)
{
    if (f->disk)
        f->disk->ops->close(f->disk);
    mv_loop_close(&f->loop);
    scratch_remove(f->path);
}

static inline int open_any(struct fixture *f, microvm_error *err)
{
    return mv_disk_open(&f->config, &f->loop, &f->log, &f->disk, err);
}

#endif
