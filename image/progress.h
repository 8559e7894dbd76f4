/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Telling the caller how far something long has come, and asking whether to go on.
 */
#ifndef MV_IMAGE_PROGRESS_H
#define MV_IMAGE_PROGRESS_H

#include "microvm/image.h"
#include "util/err.h"

struct mv_progress {
    microvm_image_progress_fn *tell; /* NULL: nobody wants to know */
    void *opaque;
};

/* MICROVM_E_CANCELLED when the caller wants no more of it. total 0: not known. */
static inline int mv_progress(const struct mv_progress *progress, const char *what,
                              uint64_t done, uint64_t total, microvm_error *err)
{
    if (!progress || !progress->tell ||
        !progress->tell(progress->opaque, what, done, total))
        return 0;
    return mv_fail(err, MICROVM_E_CANCELLED, "cancelled");
}

#endif
