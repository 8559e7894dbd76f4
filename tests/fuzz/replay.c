/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands in for libFuzzer where there is none: replay DIRECTORY feeds every file of a
 * corpus to the target, as it is and damaged in a fixed set of ways, so that each
 * target is an ordinary test on every system and under every sanitizer. It looks for
 * nothing new; fuzzing does that (tools/fuzz.sh). A corpus without files is a failure.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    INPUT_BYTES_MAX = 1 << 20,
    DAMAGES = 100, /* per file: a second for the slowest target */
    BYTES_HIT_MAX = 4
};

static uint32_t replay_random(uint32_t *seed)
{
    *seed ^= *seed << 13; /* xorshift32 */
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* From an allocation of exactly its size, so that a sanitizer sees every overrun. */
static int replay_input(const uint8_t *data, size_t length)
{
    uint8_t *exact = malloc(length + (length == 0));
    if (!exact)
        return -1;
    memcpy(exact, data, length);
    (void)LLVMFuzzerTestOneInput(exact, length);
    free(exact);
    return 0;
}

static int replay_damaged(const uint8_t *data, size_t length, uint8_t *copy)
{
    uint32_t seed = 1;
    for (unsigned i = 0; length > 0 && i < DAMAGES; i++) {
        memcpy(copy, data, length);
        unsigned hits = replay_random(&seed) % BYTES_HIT_MAX;
        for (unsigned hit = 0; hit < hits; hit++)
            copy[replay_random(&seed) % length] = (uint8_t)replay_random(&seed);
        bool cut = hits == 0 || replay_random(&seed) % 4 == 0;
        if (replay_input(copy, cut ? replay_random(&seed) % length : length))
            return -1;
    }
    return 0;
}

static int replay_file(const char *path, uint8_t *buffer)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    size_t length = fread(buffer, 1, INPUT_BYTES_MAX, file);
    bool bad = ferror(file) || !feof(file);
    (void)fclose(file);
    if (bad) {
        fprintf(stderr, "%s: unreadable, or more than %d bytes\n", path,
                INPUT_BYTES_MAX);
        return -1;
    }
    if (replay_input(buffer, length) ||
        replay_damaged(buffer, length, buffer + INPUT_BYTES_MAX)) {
        fprintf(stderr, "%s: out of memory\n", path);
        return -1;
    }
    return 0;
}

static int replay_directory(const char *path, DIR *directory, uint8_t *buffer)
{
    int files = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof name || replay_file(name, buffer))
            return -1;
        files++;
    }
    return files;
}

int main(int argc, char **argv)
{
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    uint8_t *buffer = malloc(2 * (size_t)INPUT_BYTES_MAX);
    int files = -1;
    if (directory && buffer)
        files = replay_directory(argv[1], directory, buffer);
    else
        fprintf(stderr, "usage: replay CORPUS-DIRECTORY\n");
    if (files == 0)
        fprintf(stderr, "%s: no files\n", argv[1]);
    else if (files > 0)
        printf("%d files, each as it is and damaged in %d ways\n", files, DAMAGES);
    free(buffer);
    if (directory)
        (void)closedir(directory);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
