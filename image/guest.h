/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine whose root file system is a disk that it may write to, and commands in it.
 * Nothing of it touches the host: what a build runs is a stranger's program.
 */
#ifndef MV_IMAGE_GUEST_H
#define MV_IMAGE_GUEST_H

#include "progress.h"

struct mv_guest;

/* disk: ext4. *out is to be freed. options->timeout_ms begins here. */
int mv_guest_start(const microvm_image_options *options, const char *disk,
                   const struct mv_progress *progress, struct mv_guest **out,
                   microvm_error *err);
/* Until it has ended with status 0. `what` is what messages call it. argv and env end
 * with NULL. */
int mv_guest_run(struct mv_guest *guest, const char *what, const char *const *argv,
                 const char *const *env, microvm_error *err);
/* All is written to the disk, and the disk is unmounted. */
int mv_guest_end(struct mv_guest *guest, microvm_error *err);
/* At once, where it still runs. NULL is accepted. */
void mv_guest_free(struct mv_guest *guest);

#endif
