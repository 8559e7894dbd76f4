/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the image library asks of the host's file system: all that needs system headers.
 * Descriptors are plain numbers; -1 is none. There is one implementation so far, for
 * POSIX systems; on others the library is not built.
 */
#ifndef MV_IMAGE_FILES_H
#define MV_IMAGE_FILES_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MV_FILES_PATH_MAX = 4096 };

/* A file for reading and writing in `folder` that has no name and so goes with its
 * descriptor, however the process ends. */
int mv_files_scratch(const char *folder, int *fd, microvm_error *err);
/* An existing regular file, to be read. `what` begins the message: "base". */
int mv_files_open(const char *what, const char *path, int *fd, uint64_t *size_bytes,
                  microvm_error *err);
void mv_files_close(int fd);
/* All of it or an error with the OS's words after `what`. */
int mv_files_write(int fd, uint64_t offset, const void *data, size_t length,
                   const char *what, microvm_error *err);
int mv_files_read(int fd, uint64_t offset, void *data, size_t length, const char *what,
                  microvm_error *err);
int mv_files_size(int fd, uint64_t *size_bytes, microvm_error *err);
/* Sets the size; what is new reads as zero. */
int mv_files_resize(int fd, uint64_t size_bytes, const char *what, microvm_error *err);

/* A whole file of at most `most` bytes; the text ends with a zero that `length` does
 * not count; free() it. */
int mv_files_load(const char *what, const char *path, size_t most, char **text,
                  size_t *length, microvm_error *err);

void mv_files_pause(unsigned ms);
/* For deadlines: only differences count. */
uint64_t mv_files_clock_ms(void);
/* Seconds after 1970. */
int64_t mv_files_now_s(void);
/* How many threads can run at once; at least 1. */
unsigned mv_files_cpus(void);
/* Another descriptor of the same file, for who closes it. */
int mv_files_again(int fd, int *copy, microvm_error *err);
/* A folder, or else a file, that this process may read. */
bool mv_files_has(const char *path, bool folder);
/* A program that this process may run. */
bool mv_files_runs(const char *path);
/* A path by which this process can open the descriptor's file. */
void mv_files_path_of(int fd, char *path, size_t size);

/* Makes the directory and those above it, mode 0700. */
int mv_files_make_folder(const char *path, microvm_error *err);

/* A new folder beside `output` that is to become it, and a descriptor that is open as
 * long as it is being filled: so those of killed processes are known, and removed here.
 * Files that have been written to it, under another name; without what is in it that
 * has no folders. */
int mv_files_new_folder(const char *output, char part[MV_FILES_PATH_MAX], int *fd,
                        microvm_error *err);
/* Nothing is there, not even a link that leads nowhere. */
int mv_files_check_free(const char *path, microvm_error *err);
int mv_files_rename_folder(const char *from, const char *to, microvm_error *err);
void mv_files_remove_folder(const char *path);

/* Opens a file for reading and writing, making it where it is missing, and locks it
 * (advisory: those who call this): shared, or `alone`. Waits. The lock goes with the
 * descriptor. size_bytes may be NULL. */
int mv_files_lock(const char *path, bool alone, int *fd, uint64_t *size_bytes,
                  microvm_error *err);
/* On stable storage, then under another name of the same folder. */
int mv_files_rename(int fd, const char *from, const char *to, microvm_error *err);
void mv_files_remove(const char *path);
/* The names in a folder, but for those that begin with '.', sorted by bytes: an array
 * with NULL at its end, free() it and each. */
int mv_files_names(const char *folder, char ***names, microvm_error *err);
/* Bytes that a file takes; 0 where there is none. */
uint64_t mv_files_usage(const char *path);

/* A file that appears under its name when it is complete, never before: it is written
 * beside `path` under another name and renamed. What a killed process left there is
 * removed. */
struct mv_output {
    int fd;
    char path[MV_FILES_PATH_MAX];
    char part[MV_FILES_PATH_MAX]; /* its name until then; "" when there is none */
};
#define MV_OUTPUT_NONE \
    {                  \
        .fd = -1       \
    }
int mv_output_open(struct mv_output *out, const char *path, microvm_error *err);
/* On stable storage, under its name. */
int mv_output_commit(struct mv_output *out, microvm_error *err);
/* Removes what was not committed. Accepts MV_OUTPUT_NONE. */
void mv_output_drop(struct mv_output *out);

#endif
