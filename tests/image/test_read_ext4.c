/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading what a guest has left: everything that our writer can say comes back as it
 * was, and file systems that no kernel would make, made with libext2fs, are refused in
 * words. tests/fuzz/fuzz_read_ext4.c goes on from here.
 */
#include "sample.h"

#include "ext4_nodes.h"
#include "read_ext4.h"

#include <sys/stat.h>

struct rig {
    struct sample wrote, read;
    enum mv_devices devices;
};

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    r->devices = MV_DEVICES_KEEP;
    return sample_open(&r->wrote) | sample_open(&r->read);
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    sample_close(&r->wrote);
    sample_close(&r->read);
    free(r);
    return 0;
}

static struct rig *again(void **state)
{
    (void)tear_down(state);
    assert_int_equal(set_up(state), 0);
    return *state;
}

static void write_it(struct rig *r)
{
    struct mv_write w = {.tree = &r->wrote.tree,
                         .store = &r->wrote.store,
                         .format = MV_FORMAT_EXT4,
                         .epoch_s = SAMPLE_EPOCH};
    assert_ok(mv_write_ext4(&w, r->wrote.fd, &r->wrote.err), &r->wrote.err);
}

static int read_it(struct rig *r)
{
    return mv_read_ext4(&r->read.tree, &r->read.store, r->wrote.fd, r->devices, NULL,
                        &r->read.err);
}

/* A small file system: the folder "d" with the file "f" in it. */
static void write_small(struct rig *r)
{
    (void)sample_add(&r->wrote, "d", MV_NODE_DIRECTORY, 0755);
    (void)sample_file(&r->wrote, "d/f", 0644, "content", 7, 7);
    sample_link(&r->wrote, "link", "where it leads");
    write_it(r);
}

/* ---- changes that only libext2fs can make ---------------------------------------- */

static ext2_filsys edit(struct rig *r)
{
    char name[32];
    int copy;
    ext2_filsys fs;
    assert_ok(mv_files_again(r->wrote.fd, &copy, &r->wrote.err), &r->wrote.err);
    (void)snprintf(name, sizeof name, "%d", copy);
    assert_int_equal(ext2fs_open(name, EXT2_FLAG_64BITS | EXT2_FLAG_RW, 0, 0,
                                 unixfd_io_manager, &fs),
                     0);
    assert_int_equal(ext2fs_read_bitmaps(fs), 0);
    return fs;
}

static void edit_end(ext2_filsys fs)
{
    assert_int_equal(ext2fs_close_free(&fs), 0);
}

static ext2_ino_t inode_of(ext2_filsys fs, const char *path)
{
    ext2_ino_t inode;
    assert_int_equal(ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &inode), 0);
    return inode;
}

/* A name in "/d" for any inode, as only a broken or hostile file system has it. */
static void link_in_d(struct rig *r, const char *name, const char *path,
                      ext2_ino_t inode)
{
    ext2_filsys fs = edit(r);
    assert_int_equal(ext2fs_link(fs, inode_of(fs, "/d"), name,
                                 path ? inode_of(fs, path) : inode, EXT2_FT_DIR),
                     0);
    edit_end(fs);
}

static void change_inode(struct rig *r, const char *path,
                         void (*change)(struct ext2_inode *inode))
{
    ext2_filsys fs = edit(r);
    struct ext2_inode inode;
    ext2_ino_t number = inode_of(fs, path);
    assert_int_equal(ext2fs_read_inode(fs, number, &inode), 0);
    change(&inode);
    assert_int_equal(ext2fs_write_inode(fs, number, &inode), 0);
    edit_end(fs);
}

static void change_super(struct rig *r, void (*change)(struct ext2_super_block *super))
{
    ext2_filsys fs = edit(r);
    change(fs->super);
    fs->flags |= EXT2_FLAG_SUPER_ONLY;
    ext2fs_mark_super_dirty(fs);
    edit_end(fs);
}

/* ---- what comes back ------------------------------------------------------------- */

static void everything_comes_back(void **state)
{
    struct rig *r = *state;
    sample_fill(&r->wrote, true);
    sample_add(&r->wrote, "old", MV_NODE_FIFO, 0600)->mtime_s = -1000000;
    sample_add(&r->wrote, "young", MV_NODE_FIFO, 0600)->mtime_s =
        (INT64_C(1) << 32) + 5;
    write_it(r);
    assert_ok(read_it(r), &r->read.err);
    struct mv_digest before = sample_identity(&r->wrote);
    struct mv_digest after = sample_identity(&r->read);
    assert_true(mv_digest_same(&before, &after));
}

static void holes_stay_holes(void **state)
{
    struct rig *r = *state;
    struct stat info;
    (void)sample_file(&r->wrote, "holes", 0644, "end", 3, MV_MIB(32));
    write_it(r);
    assert_ok(read_it(r), &r->read.err);
    assert_int_equal(fstat(r->read.store.fd, &info), 0);
    assert_int_equal(info.st_size, MV_MIB(32));
    assert_true(info.st_blocks * 512 <= 128 * 1024);
}

static void devices_are_as_it_is_said(void **state)
{
    struct rig *r = *state;
    sample_add(&r->wrote, "null", MV_NODE_CHAR, 0666)->major = 1;
    write_it(r);
    r->devices = MV_DEVICES_REFUSE;
    assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "'null': a device node");
    r->devices = MV_DEVICES_SKIP;
    assert_ok(read_it(r), &r->read.err);
    assert_null(mv_tree_find(&r->read.tree, "null", NULL));
}

static void be_socket(struct ext2_inode *inode)
{
    inode->i_mode = LINUX_S_IFSOCK | 0600;
}

static void sockets_are_left_out(void **state)
{
    struct rig *r = *state;
    (void)sample_add(&r->wrote, "socket", MV_NODE_FIFO, 0600);
    write_it(r);
    change_inode(r, "/socket", be_socket);
    assert_ok(read_it(r), &r->read.err);
    assert_null(mv_tree_find(&r->read.tree, "socket", NULL));
}

/* A link's words are the guest's affair: nobody follows them here. */
static void a_link_out_is_a_link(void **state)
{
    struct rig *r = *state;
    sample_link(&r->wrote, "out", "/../../etc/shadow");
    write_it(r);
    assert_ok(read_it(r), &r->read.err);
    assert_string_equal(mv_tree_find(&r->read.tree, "out", NULL)->target,
                        "/../../etc/shadow");
}

/* ---- what is refused ------------------------------------------------------------- */

static void loops_end(void **state)
{
    static const char *const targets[] = {"/", "/d", "/lost+found"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(targets); i++) {
        struct rig *r = i ? again(state) : *state;
        write_small(r);
        link_in_d(r, "loop", targets[i], 0);
        assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "is met twice");
    }
}

static void names_that_are_none(void **state)
{
    static const struct {
        const char *name, *words;
    } cases[] = {{"a/b", "no name"}, {"/etc/passwd", "no name"}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct rig *r = i ? again(state) : *state;
        write_small(r);
        link_in_d(r, cases[i].name, "/d/f", 0);
        assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, cases[i].words);
    }
}

/* ".." where it does not stand for the parent: libext2fs itself would link it so. */
static void upwards(void **state)
{
    struct rig *r = *state;
    write_small(r);
    link_in_d(r, "..", "/d/f", 0);
    assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "leads upwards");
}

static void inodes_that_are_none(void **state)
{
    struct rig *r = *state;
    write_small(r);
    link_in_d(r, "far", NULL, 0x7fffffff);
    assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "no name");
}

static void be_large(struct ext2_inode *inode)
{
    inode->i_size_high = 0x1000;
}

static void sizes_are_counted(void **state)
{
    struct rig *r = *state;
    write_small(r);
    change_inode(r, "/d/f", be_large);
    assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "over the limit");
}

static void be_file(struct ext2_inode *inode)
{
    inode->i_mode = LINUX_S_IFREG | 0600;
}

static void be_folder(struct ext2_inode *inode)
{
    inode->i_mode = LINUX_S_IFDIR | 0700;
}

/* Whatever an entry says: the inode's word counts. */
static void kinds_that_are_others(void **state)
{
    struct rig *r = *state;
    write_small(r);
    change_inode(r, "/d", be_file);
    assert_ok(read_it(r), &r->read.err);
    assert_int_equal(mv_tree_find(&r->read.tree, "d", NULL)->type, MV_NODE_FILE);
    r = again(state);
    write_small(r);
    change_inode(r, "/d/f", be_folder);
    assert_error(read_it(r), &r->read.err, MICROVM_E_IO, "ext4: 'd/f': ");
}

static void be_empty(struct ext2_inode *inode)
{
    inode->i_size = 0;
}

static void be_endless(struct ext2_inode *inode)
{
    inode->i_size = MV_TREE_PATH_MAX;
}

static void be_cut(struct ext2_inode *inode)
{
    inode->i_block[1] = 0;
}

static void links_that_are_none(void **state)
{
    static const struct {
        void (*change)(struct ext2_inode *inode);
        const char *words;
    } cases[] = {{be_empty, "no symbolic link"},
                 {be_endless, "no symbolic link"},
                 {be_cut, "with a zero in it"}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct rig *r = i ? again(state) : *state;
        write_small(r);
        change_inode(r, "/link", cases[i].change);
        assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, cases[i].words);
    }
}

static void be_mounted(struct ext2_super_block *super)
{
    super->s_state = (uint16_t)(super->s_state & ~EXT2_VALID_FS);
}

static void be_broken(struct ext2_super_block *super)
{
    super->s_state |= EXT2_ERROR_FS;
}

static void what_is_still_mounted_is_not_read(void **state)
{
    void (*const changes[])(struct ext2_super_block *) = {be_mounted, be_broken};
    for (unsigned i = 0; i < 2; i++) {
        struct rig *r = i ? again(state) : *state;
        write_small(r);
        change_super(r, changes[i]);
        assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "was not unmounted");
    }
}

/* The words are libext2fs' own; without a checksum that fits, nothing is believed. */
static void damage_is_seen(void **state)
{
    struct rig *r = *state;
    uint8_t byte;
    write_small(r);
    assert_ok(mv_files_read(r->wrote.fd, 1024 + 4, &byte, 1, "disk", NULL),
              &r->read.err);
    byte ^= 1;
    assert_ok(mv_files_write(r->wrote.fd, 1024 + 4, &byte, 1, "disk", NULL),
              &r->read.err);
    assert_error(read_it(r), &r->read.err, MICROVM_E_IO,
                 "ext4: 'superblock': Superblock checksum does not match");
}

static void what_is_no_file_system(void **state)
{
    struct rig *r = *state;
    assert_error(read_it(r), &r->read.err, MICROVM_E_IO, "ext4: 'superblock': ");
    assert_ok(mv_files_resize(r->wrote.fd, MV_MIB(1), "disk", &r->read.err),
              &r->read.err);
    assert_error(read_it(r), &r->read.err, MICROVM_E_IO, "Bad magic number");
}

static void entries_are_counted(void **state)
{
    struct rig *r = *state;
    sample_many(&r->wrote);
    write_it(r);
    r->read.tree.entries_max = SAMPLE_MANY / 2;
    assert_error(read_it(r), &r->read.err, MICROVM_E_INVALID, "more than 350");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_comes_back),
        TEST(holes_stay_holes),
        TEST(devices_are_as_it_is_said),
        TEST(sockets_are_left_out),
        TEST(a_link_out_is_a_link),
        TEST(loops_end),
        TEST(names_that_are_none),
        TEST(upwards),
        TEST(inodes_that_are_none),
        TEST(sizes_are_counted),
        TEST(kinds_that_are_others),
        TEST(links_that_are_none),
        TEST(what_is_still_mounted_is_not_read),
        TEST(damage_is_seen),
        TEST(what_is_no_file_system),
        TEST(entries_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
