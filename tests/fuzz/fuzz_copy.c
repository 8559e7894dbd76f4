/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file tree as frames from an end that sends anything, written to a disk: what both
 * the library and the guest's agent do with the other one's. Nothing is made outside of
 * the target, no temporary file stays, and what was made can be read again.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include "copy/copy.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64], outside[80], target[80];

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *where)
{
    (void)st, (void)type, (void)where;
    (void)remove(path);
    return 0;
}

/* Folders that nobody may look into are opened up first, one level with each pass. */
static int open_one(const char *path, const struct stat *st, int type,
                    struct FTW *where)
{
    (void)where;
    if (type == FTW_DNR || (type == FTW_D && (st->st_mode & 0700) != 0700))
        (void)chmod(path, 0700);
    return 0;
}

static void remove_base(void)
{
    for (unsigned i = 0; i < 3; i++)
        (void)nftw(base, open_one, 16, FTW_PHYS);
    (void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned entries_of(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

static int check_one(const char *path, const struct stat *st, int type,
                     struct FTW *where)
{
    (void)st, (void)type, (void)where;
    MV_ASSERT(!strstr(path, ".microvm-copy."));
    return 0;
}

static void make_base(void)
{
    char link[96];
    static unsigned count;
    (void)snprintf(base, sizeof base, "/tmp/fuzz-copy.%d.%u", (int)getpid(), count++);
    (void)snprintf(outside, sizeof outside, "%s/outside", base);
    (void)snprintf(target, sizeof target, "%s/in", base);
    (void)snprintf(link, sizeof link, "%s/l", target);
    int rc = mkdir(base, 0700) || mkdir(outside, 0700) || mkdir(target, 0700) ||
             symlink("../outside", link);
    MV_ASSERT(rc == 0);
}

/* Everything that was made, read as the other direction reads it. */
static void read_again(void)
{
    struct mv_filetree_reader *reader;
    struct mv_filetree_entry entry;
    uint8_t data[512];
    uint64_t hole;
    if (mv_filetree_read_open(&reader, target, false, NULL))
        return;
    unsigned entries = 0;
    while (mv_filetree_read_next(reader, &entry, NULL) == 1 && entries++ < 10000) {
        MV_ASSERT(entry.type < MV_FILETREE_TYPES);
        MV_ASSERT(strlen(entry.path) < MV_FILETREE_PATH_MAX);
        for (unsigned i = 0; i < 64; i++)
            if (mv_filetree_read_data(reader, data, sizeof data, &hole, NULL) <= 0 &&
                !hole)
                break;
    }
    mv_filetree_read_close(reader);
}

static void take(const uint8_t *data, size_t size,
                 const struct mv_filetree_place *place)
{
    struct mv_filetree_writer *writer;
    struct agent_frame frame;
    int32_t n;
    if (mv_filetree_write_open(&writer, place, NULL))
        return;
    struct mv_copy_sink sink = mv_copy_to_tree(writer);
    struct mv_copy_in in = {.data = AGENT_INPUT, .sink = &sink};
    while ((n = agent_frame_read(&frame, data, size)) > 0 &&
           mv_copy_take(&in, &frame, NULL) == 0) {
        data += n;
        size -= (size_t)n;
    }
    if (n == 0)
        (void)mv_filetree_write_end(writer, NULL);
    mv_filetree_write_close(writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = {data, size};
    unsigned how = fuzz8(&in);
    if (size > 20000)
        return 0;
    make_base();
    const struct mv_filetree_place place = {.path = target,
                                            .name = how & 1   ? NULL
                                                    : how & 2 ? "l"
                                                              : "n",
                                            .directory = how & 4,
                                            .make = how & 8,
                                            .owners = how & 16};
    take(in.data, in.length, &place);
    MV_ASSERT(entries_of(outside) == 2 && entries_of(base) == 4);
    if (!memmem(data, size, "microvm-copy", 12)) /* else it is the tree's own name */
        (void)nftw(target, check_one, 16, FTW_PHYS);
    read_again();
    remove_base();
    return 0;
}
