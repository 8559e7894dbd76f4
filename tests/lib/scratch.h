/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files for tests: made in the temporary directory of the system (TMPDIR), removed by
 * the test. What cannot be made fails the test that asked for it.
 */
#ifndef TESTS_LIB_SCRATCH_H
#define TESTS_LIB_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCRATCH_PATH = 512 };

/* A new file with this content; `path` receives its name. */
void scratch_file(char path[SCRATCH_PATH], const void *data, size_t length);
/* A new file of zeros that takes no space. */
void scratch_sparse(char path[SCRATCH_PATH], uint64_t length);
void scratch_truncate(const char *path, uint64_t length);
void scratch_remove(const char *path);

/* Between the two, files are made on a file system of `length` bytes. False where none
 * can be mounted: needs Linux, and namespaces. The process sees mounts of its own from
 * then on. */
bool scratch_small_begin(uint64_t length);
void scratch_small_end(void);

/* Something that is no file: its kind in words, or NULL where the system has none. */
enum {
    SCRATCH_DIRECTORY,
    SCRATCH_FIFO,
    SCRATCH_SOCKET,
    SCRATCH_CHARACTER,
    SCRATCH_KINDS
};
const char *scratch_special(char path[SCRATCH_PATH], int kind);

/* Memory aligned to 4096 bytes. */
void *scratch_pages(size_t length);
void scratch_pages_free(void *pages);

#endif
