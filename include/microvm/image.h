/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libmicrovm-image: root file systems for guests, made without root. A library of its
 * own, so that what it stands on (libcurl, libarchive, libcrypto, libsquashfs,
 * libext2fs) is linked only where images are made. The rules of microvm.h hold here:
 * errors, threads, ownership, growth.
 */
#ifndef MICROVM_IMAGE_H
#define MICROVM_IMAGE_H

#include <microvm/microvm.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Called now and then by what takes long, on the thread that called: `what` is being
 * done, `done` bytes of `total` (0: not known yet) are. Returns 0 to go on; anything
 * else ends the operation with MICROVM_E_CANCELLED, nothing half made being left.
 */
typedef int microvm_image_progress_fn(void *opaque, const char *what, uint64_t done,
                                      uint64_t total);

#ifdef __cplusplus
}
#endif

#endif
