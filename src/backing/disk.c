/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opening a disk: what is no raw image is refused in words that say what to do, then
 * the best implementation that works here takes the file. Images in other formats are
 * not supported on purpose: the guest would see their headers as its sectors.
 */
#include "backing/disk_impl.h"

#include "os/error.h"
#include "util/bytes.h"

enum { SECTOR_BYTES = 512 };

struct format {
    const char *name, *advice;
    const char *magic;
    uint8_t length;
};

#define CONVERT    "convert it with 'qemu-img convert -O raw'"
#define UNCOMPRESS "uncompress it first"

/* The first bytes of files that users mistake for disk images. */
static const struct format formats[] = {
    {"a qcow2 image", CONVERT, "QFI\xfb", 4},
    {"a VMDK image", CONVERT, "KDMV", 4},
    {"a VMDK image", CONVERT, "COWD", 4},
    {"a VMDK description", CONVERT, "# Disk DescriptorFile", 21},
    {"a VHD image", CONVERT, "conectix", 8},
    {"a VHDX image", CONVERT, "vhdxfile", 8},
    {"a VirtualBox image", CONVERT, "<<< Oracle VM VirtualBox Disk Image >>>", 39},
    {"a gzip file", UNCOMPRESS, "\x1f\x8b\x08", 3},
    {"an xz file", UNCOMPRESS, "\xfd\x37zXZ", 6},
    {"a zstd file", UNCOMPRESS, "\x28\xb5\x2f\xfd", 4},
};

static const struct format *format_find(const uint8_t *head, size_t length)
{
    for (size_t i = 0; i < MV_ARRAY_LEN(formats); i++) {
        if (length >= formats[i].length &&
            memcmp(head, formats[i].magic, formats[i].length) == 0)
            return &formats[i];
    }
    return NULL;
}

/* Fixed VHDs are raw images with a footer, so that is looked at, too. */
static int disk_check_format(const struct mv_file *file, microvm_error *err)
{
    uint8_t sector[SECTOR_BYTES];
    int64_t n = mv_file_read(file, 0, sector, sizeof sector);
    if (n < 0)
        return mv_fail_os(err, "disk '%s': reading it", file->path);
    const struct format *format = format_find(sector, (size_t)n);
    if (!format && file->size_bytes > sizeof sector) {
        n = mv_file_read(file, file->size_bytes - sizeof sector, sector, sizeof sector);
        if (n < 0)
            return mv_fail_os(err, "disk '%s': reading its end", file->path);
        if (n >= 8 && memcmp(sector, "conectix", 8) == 0)
            format = format_find(sector, (size_t)n);
    }
    if (!format)
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "disk '%s' is %s, and only raw images are supported: %s", file->path,
                   format->name, format->advice);
}

static int disk_check_size(const struct mv_file *file, microvm_error *err)
{
    if (file->size_bytes == 0)
        return mv_fail(err, MICROVM_E_INVALID,
                       "disk '%s' is empty: make it as large as the disk shall be, for "
                       "example with 'truncate -s 1G'",
                       file->path);
    if (file->size_bytes % SECTOR_BYTES == 0)
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "disk '%s': its size of %llu bytes is no multiple of 512: it is no "
                   "raw image, or is cut short; 'truncate -s %%512' fills it up",
                   file->path, (unsigned long long)file->size_bytes);
}

static int disk_open_file(struct mv_file *file, const struct mv_disk_config *config,
                          microvm_error *err)
{
    unsigned flags = MV_FILE_LOCK | (config->read_only ? 0u : MV_FILE_WRITE) |
                     (config->direct ? MV_FILE_DIRECT : 0u);
    int rc = mv_file_open(file, "disk", config->path, flags, err);
    if (rc)
        return rc;
    rc = disk_check_format(file, err);
    if (!rc)
        rc = disk_check_size(file, err);
    if (rc)
        mv_file_close(file);
    return rc;
}

static void disk_describe(struct mv_disk *disk, const struct mv_file *file,
                          const struct mv_disk_config *config)
{
    disk->size_bytes = file->size_bytes;
    disk->block_bytes = MV_MAX(file->align_bytes, SECTOR_BYTES);
    disk->read_only = config->read_only;
    disk->can_discard = file->can_discard;
}

int mv_disk_open_by(mv_disk_make *make, const struct mv_disk_config *config,
                    struct mv_loop *loop, struct mv_disk **out, microvm_error *err)
{
    struct mv_file file = MV_FILE_CLOSED;
    int rc = disk_open_file(&file, config, err);
    if (rc)
        return rc;
    const struct mv_file opened = file;
    rc = make(&file, loop, out, err);
    if (rc)
        mv_file_close(&file);
    else
        disk_describe(*out, &opened, config);
    return rc;
}

int mv_disk_open(const struct mv_disk_config *config, struct mv_loop *loop,
                 const struct mv_log *log, struct mv_disk **out, microvm_error *err)
{
    microvm_error why;
    int rc = mv_disk_open_by(mv_disk_uring_open, config, loop, out, &why);
    if (rc != MICROVM_E_UNSUPPORTED)
        return rc ? mv_fail_again(err, &why) : 0;
    mv_log(log, MICROVM_LOG_DEBUG, "disk '%s': threads instead of io_uring: %s",
           config->path, why.message);
    return mv_disk_open_by(mv_disk_threads_open, config, loop, out, err);
}
