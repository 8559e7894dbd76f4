/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Between the files that tell kernels apart: kernel.c asks elf.c and bzimage.c by the
 * file's first bytes, and refuse.c when neither knows it.
 */
#ifndef MV_ARCH_X86_KERNEL_H
#define MV_ARCH_X86_KERNEL_H

#include "arch/x86/boot.h"

enum { MV_KERNEL_HEAD_BYTES = 4096 };

/* The beginning of the file; zeros where the file is shorter. */
struct mv_kernel_head {
    const struct mv_source *source;
    uint64_t length; /* bytes that came from the file */
    uint8_t bytes[MV_KERNEL_HEAD_BYTES];
};

/* Each fills a zeroed *out or fails. The format's magic number has been seen. */
int mv_elf_parse(const struct mv_kernel_head *head, struct mv_kernel *out,
                 microvm_error *err);
int mv_bzimage_parse(const struct mv_kernel_head *head, struct mv_kernel *out,
                     microvm_error *err);

/* Says what a file that is no kernel is instead. Always fails. */
int mv_kernel_refuse(const struct mv_kernel_head *head, microvm_error *err);

/* Fails with "kernel 'NAME' " before the text. */
int mv_kernel_fail(const struct mv_source *source, microvm_error *err,
                   const char *format, ...) MV_PRINTF(3, 4);

#endif
