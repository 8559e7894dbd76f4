/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ext4 file system that a guest has left, with any of its bytes changed. It is made
 * by our own writer, without checksums (a guest could write right ones), and small. An
 * input is changes to it: what kind of place, where in it, how many bytes, the bytes.
 */
#include "fuzz_tree.h"

#include "files.h"
#include "read_ext4.h"
#include "write.h"

#include <stdlib.h>

enum {
    DISK_BYTES = 1 << 20,
    BLOCK_BYTES = 4096,
    INODE_BYTES = 256,
    SUPER_AT = 1024,
    SUPER_BYTES = 1024,
    RO_COMPAT_AT = SUPER_AT + 0x64, /* of ext4.h: s_feature_ro_compat */
    METADATA_CSUM = 0x400,
    GROUPS_AT = BLOCK_BYTES,
    STORE_BYTES = 1 << 22,
    ENTRIES = 1000,
    CHANGES = 16
};

static struct {
    uint8_t disk[DISK_BYTES];
    uint32_t inodes_at; /* of the one group's table */
    int fd;
    struct mv_store store;
} bed = {.fd = -1, .store = MV_STORE_NONE};

/* ---- the file system ------------------------------------------------------------- */

static struct mv_node *add(struct mv_tree *tree, const char *path,
                           enum mv_node_type type)
{
    struct mv_node *node = mv_node_new(type);
    MV_ASSERT(node);
    node->mode = 0755;
    if (type == MV_NODE_SYMLINK)
        node->target = strdup("/etc");
    MV_ASSERT(!mv_tree_put(tree, path, node, NULL));
    return node;
}

static void add_file(struct mv_tree *tree, const char *path, size_t length)
{
    static uint8_t content[3 * BLOCK_BYTES];
    struct mv_node *node = add(tree, path, MV_NODE_FILE);
    memset(content, 'x', sizeof content);
    node->size_bytes = length;
    MV_ASSERT(!mv_store_add(&bed.store, length, &node->offset, NULL));
    MV_ASSERT(!mv_store_write(&bed.store, node->offset, content, length, NULL));
}

/* One of each kind, close together: inodes 11 to about 30. */
static void fill(struct mv_tree *tree)
{
    static char far[300];
    memset(far, 'f', sizeof far - 1);
    struct mv_node *noted = add(tree, "usr", MV_NODE_DIRECTORY);
    MV_ASSERT(!mv_node_xattr(noted, "user.small", "1", 1, NULL));
    noted = add(tree, "usr/bin", MV_NODE_DIRECTORY);
    MV_ASSERT(!mv_node_xattr(noted, "user.large", far, sizeof far, NULL));
    add_file(tree, "etc/passwd", 100);
    add_file(tree, "usr/bin/a", 3 * BLOCK_BYTES);
    MV_ASSERT(!mv_tree_link(tree, "usr/bin/b", "usr/bin/a", NULL));
    (void)add(tree, "near", MV_NODE_SYMLINK);
    struct mv_node *link = add(tree, "far", MV_NODE_SYMLINK);
    free(link->target);
    link->target = strdup(far);
    add(tree, "dev/null", MV_NODE_CHAR)->major = 1;
    (void)add(tree, "dev/fifo", MV_NODE_FIFO);
    (void)add(tree, "usr/empty", MV_NODE_FILE);
}

static void bed_make(void)
{
    struct mv_tree tree;
    struct mv_write w = {.tree = &tree,
                         .store = &bed.store,
                         .format = MV_FORMAT_EXT4,
                         .size_bytes = DISK_BYTES,
                         .no_journal = true};
    /* libext2fs waits for the disk when it closes one. */
    if (mv_store_open(&bed.store, "/dev/shm", STORE_BYTES, NULL) ||
        mv_files_scratch("/dev/shm", &bed.fd, NULL)) {
        mv_store_close(&bed.store);
        MV_ASSERT(!mv_store_open(&bed.store, "/tmp", STORE_BYTES, NULL));
        MV_ASSERT(!mv_files_scratch("/tmp", &bed.fd, NULL));
    }
    MV_ASSERT(!mv_tree_init(&tree, NULL));
    fill(&tree);
    MV_ASSERT(!mv_write_ext4(&w, bed.fd, NULL));
    mv_tree_done(&tree);
    MV_ASSERT(!mv_files_read(bed.fd, 0, bed.disk, DISK_BYTES, "disk", NULL));
    uint32_t features = mv_load32(bed.disk + RO_COMPAT_AT);
    MV_ASSERT(features & METADATA_CSUM);
    mv_store32(bed.disk + RO_COMPAT_AT, features & ~(uint32_t)METADATA_CSUM);
    bed.inodes_at = mv_load32(bed.disk + GROUPS_AT + 8) * BLOCK_BYTES;
    MV_ASSERT(bed.inodes_at < DISK_BYTES / 2);
    MV_ASSERT(!mv_files_write(bed.fd, 0, bed.disk, DISK_BYTES, "disk", NULL));
}

/* ---- an input -------------------------------------------------------------------- */

struct change {
    uint32_t at, length;
};

static struct change change_make(struct fuzz *in)
{
    struct change change = {0};
    uint8_t bytes[16], kind = fuzz8(in);
    switch (kind % 4) {
    case 0:
        change.at = SUPER_AT + fuzz16(in) % SUPER_BYTES;
        break;
    case 1:
        change.at = GROUPS_AT + fuzz8(in) % 64;
        break;
    case 2:
        change.at = bed.inodes_at + fuzz8(in) % 48 * INODE_BYTES;
        change.at += fuzz8(in);
        break;
    case 3:
        change.at = (uint32_t)fuzz16(in) * 16 + fuzz8(in) % 16;
        break;
    }
    change.length = 1 + (kind >> 4);
    fuzz_bytes(in, bytes, change.length);
    change.length = MV_MIN(change.length, DISK_BYTES - change.at);
    MV_ASSERT(!mv_files_write(bed.fd, change.at, bytes, change.length, "disk", NULL));
    return change;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    struct change changes[CHANGES];
    unsigned made = 0;
    struct mv_tree tree;
    microvm_error err;
    if (bed.fd < 0)
        bed_make();
    MV_ASSERT(!mv_store_reset(&bed.store, NULL));
    MV_ASSERT(!mv_tree_init(&tree, NULL));
    tree.entries_max = ENTRIES;
    enum mv_devices devices = fuzz8(&in) % 2 ? MV_DEVICES_KEEP : MV_DEVICES_SKIP;
    while (fuzz_left(&in) && made < CHANGES)
        changes[made++] = change_make(&in);
    if (mv_read_ext4(&tree, &bed.store, bed.fd, devices, NULL, &err))
        MV_ASSERT(err.code < 0 && err.message[0]);
    fuzz_tree_check(&tree, &bed.store, devices == MV_DEVICES_KEEP);
    mv_tree_done(&tree);
    for (unsigned i = 0; i < made; i++)
        MV_ASSERT(!mv_files_write(bed.fd, changes[i].at, bed.disk + changes[i].at,
                                  changes[i].length, "disk", NULL));
    return 0;
}
