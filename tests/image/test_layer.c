/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Layers: what an archive brings arrives with all its metadata, whiteouts work, and
 * every hostile archive is refused in words.
 */
#include "check.h"

#include "layer.h"
#include "tarball.h"
#include "util/bytes.h"

#include <stdio.h>

struct rig {
    struct mv_tree tree;
    struct mv_store store;
    struct tarball tar;
    struct mv_layer_options options;
    microvm_error err;
};

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    r->options.what = "layer";
    r->options.whiteouts = true;
    tarball_begin(&r->tar, ARCHIVE_FILTER_NONE);
    return mv_tree_init(&r->tree, NULL) |
           mv_store_open(&r->store, "/tmp", MV_MIB(256), NULL);
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    mv_tree_done(&r->tree);
    mv_store_close(&r->store);
    if (r->tar.archive)
        (void)tarball_end(&r->tar);
    tarball_done(&r->tar);
    free(r);
    return 0;
}

#define ADD(...) assert_true(tarball_add(&r->tar, (struct tar_entry){__VA_ARGS__}))

/* Applies what was added, and begins the next archive. */
static int apply(struct rig *r)
{
    struct mv_blob blob = tarball_end(&r->tar);
    int rc = mv_layer_apply(&r->tree, &r->store, &blob, &r->options, NULL, &r->err);
    tarball_done(&r->tar);
    tarball_begin(&r->tar, ARCHIVE_FILTER_NONE);
    return rc;
}

static void expect_content(struct rig *r, const char *path, const char *text)
{
    char data[128];
    struct mv_node *node = mv_tree_find(&r->tree, path, NULL);
    assert_non_null(node);
    assert_int_equal(node->size_bytes, strlen(text));
    assert_ok(mv_store_read(&r->store, node->offset, data, strlen(text), &r->err),
              &r->err);
    assert_memory_equal(data, text, strlen(text));
}

static void an_archive_arrives_whole(void **state)
{
    struct rig *r = *state;
    r->options.devices = MV_DEVICES_KEEP;
    ADD("./", 0040711, .uid = 5);
    ADD("usr/bin/tool", 0104755, .text = "#!/bin/sh\n", .uid = 1000, .gid = 4000000000,
        .mtime = 1234567890, .xattr = "security.capability", .value = "caps");
    ADD("bin", 0120777, .link = "usr/bin");
    ADD("usr/bin/other", 0100644, .hardlink = "usr/bin/tool");
    ADD("dev/null", 0020666, .major = 1, .minor = 3);
    ADD("run/pipe", 0010600);
    ADD("empty", 0100600);
    ADD("caf\xc3\xa9", 0100644, .text = "latte");
    assert_ok(apply(r), &r->err);
    struct mv_node *tool = mv_tree_find(&r->tree, "usr/bin/tool", NULL);
    assert_int_equal(tool->mode, 04755);
    assert_int_equal(tool->uid, 1000);
    assert_int_equal(tool->gid, 4000000000);
    assert_int_equal(tool->mtime_s, 1234567890);
    assert_int_equal(tool->xattrs, 1);
    assert_string_equal(tool->xattr[0].name, "security.capability");
    assert_int_equal(tool->xattr[0].length, 4);
    assert_ptr_equal(tool, mv_tree_find(&r->tree, "usr/bin/other", NULL));
    assert_string_equal(mv_tree_find(&r->tree, "bin", NULL)->target, "usr/bin");
    struct mv_node *null = mv_tree_find(&r->tree, "dev/null", NULL);
    assert_int_equal(null->type, MV_NODE_CHAR);
    assert_int_equal(null->major * 256 + null->minor, 259);
    assert_int_equal(mv_tree_find(&r->tree, "run/pipe", NULL)->type, MV_NODE_FIFO);
    assert_int_equal(mv_tree_find(&r->tree, "usr", NULL)->mode, 0755);
    assert_int_equal(r->tree.root->mode, 0711);
    assert_int_equal(r->tree.root->uid, 5);
    expect_content(r, "usr/bin/tool", "#!/bin/sh\n");
    expect_content(r, "caf\xc3\xa9", "latte");
    expect_content(r, "empty", "");
}

static void every_compression_is_read(void **state)
{
    static const int filters[] = {ARCHIVE_FILTER_NONE,  ARCHIVE_FILTER_GZIP,
                                  ARCHIVE_FILTER_ZSTD,  ARCHIVE_FILTER_XZ,
                                  ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_LZ4};
    struct rig *r = *state;
    struct mv_digest first, digest;
    for (unsigned i = 0; i < MV_ARRAY_LEN(filters); i++) {
        (void)tarball_end(&r->tar);
        tarball_done(&r->tar);
        tarball_begin(&r->tar, filters[i]);
        ADD("file", 0100644, .text = "content");
        struct mv_blob blob = tarball_end(&r->tar);
        assert_ok(
            mv_layer_apply(&r->tree, &r->store, &blob, &r->options, &digest, &r->err),
            &r->err);
        expect_content(r, "file", "content");
        if (i == 0)
            first = digest;
        assert_true(
            mv_digest_same(&digest, &first)); /* the archive's, not the blob's */
    }
}

static void layers_hide_what_is_below(void **state)
{
    struct rig *r = *state;
    ADD("etc/keep", 0100644, .text = "1");
    ADD("etc/drop", 0100644, .text = "1");
    ADD("var/cache/a", 0100644, .text = "1");
    ADD(".wh.none", 0100644);
    assert_ok(apply(r), &r->err);
    ADD("etc/.wh.drop", 0100644);
    ADD("var/cache/b", 0100644, .text = "2");
    ADD("var/cache/.wh..wh..opq", 0100644);
    ADD("var/.wh..wh.plnk", 0040700);
    assert_ok(apply(r), &r->err);
    assert_non_null(mv_tree_find(&r->tree, "etc/keep", NULL));
    assert_null(mv_tree_find(&r->tree, "etc/drop", NULL));
    assert_null(mv_tree_find(&r->tree, "var/cache/a", NULL));
    assert_non_null(mv_tree_find(&r->tree, "var/cache/b", NULL));
    assert_null(mv_tree_find(&r->tree, "var/.wh..wh.plnk", NULL));
    r->options.whiteouts = false; /* a plain archive: such names are names */
    ADD("etc/.wh.keep", 0100644);
    assert_ok(apply(r), &r->err);
    assert_non_null(mv_tree_find(&r->tree, "etc/keep", NULL));
    assert_non_null(mv_tree_find(&r->tree, "etc/.wh.keep", NULL));
}

static void hostile_names_are_refused(void **state)
{
    struct rig *r = *state;
    char name[4400];
    ADD("../outside", 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "leads upwards");
    ADD("a/../../outside", 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "leads upwards");
    ADD("/etc/passwd", 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "absolute");
    memset(name, 'n', sizeof name);
    name[300] = '\0';
    ADD(name, 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "255 bytes");
    for (unsigned i = 0; i < sizeof name; i++)
        name[i] = i % 100 == 99 ? '/' : 'n';
    name[sizeof name - 2] = '\0';
    ADD(name, 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "4095 bytes");
    ADD("x/.wh...", 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "whiteout of nothing");
    ADD(".wh.", 0100644);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "whiteout of nothing");
}

static void hostile_links_are_refused(void **state)
{
    struct rig *r = *state;
    ADD("out", 0120777, .link = "/etc");
    ADD("out/passwd", 0100644, .text = "root::0:0");
    assert_error(apply(r), &r->err, MICROVM_E_INVALID,
                 "through the symbolic link 'out'");
    ADD("h", 0100644, .hardlink = "../../etc/shadow");
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "leads upwards");
    ADD("h", 0100644, .hardlink = "/etc/shadow");
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "absolute");
    ADD("h", 0100644, .hardlink = "out/shadow");
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "not there");
    ADD("d/f", 0100644);
    ADD("h", 0100644, .hardlink = "d");
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "a directory");
}

static void devices_are_a_matter_of_policy(void **state)
{
    struct rig *r = *state;
    ADD("dev/sda", 0060660, .major = 8);
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "is a device node");
    r->options.devices = MV_DEVICES_SKIP;
    ADD("dev/sda", 0060660, .major = 8);
    ADD("file", 0100644);
    assert_ok(apply(r), &r->err);
    assert_null(mv_tree_find(&r->tree, "dev/sda", NULL));
    assert_non_null(mv_tree_find(&r->tree, "file", NULL));
}

static void bombs_do_not_go_off(void **state)
{
    struct rig *r = *state;
    r->store.bytes_max = MV_MIB(8);
    ADD("big", 0100644, .size = (int64_t)MV_MIB(9));
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "more than 8 MiB");
    assert_int_equal(r->store.used, 0);
    for (unsigned i = 0; i < 3; i++)
        ADD("same", 0100644,
            .size = (int64_t)MV_MIB(3)); /* replaced, and yet counted */
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "more than 8 MiB");
    r->tree.entries_max = r->tree.entries + 5;
    for (unsigned i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "d%u", i);
        ADD(name, 0040755);
    }
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "entries");
}

/* 400 MiB that nobody would store: the data of an entry that is skipped. */
static void a_bomb_in_what_is_skipped_is_told_by_its_ratio(void **state)
{
    struct rig *r = *state;
    (void)tarball_end(&r->tar);
    tarball_done(&r->tar);
    tarball_begin(&r->tar, ARCHIVE_FILTER_ZSTD);
    ADD("x/.wh.y", 0100644, .size = (int64_t)MV_MIB(400));
    assert_error(apply(r), &r->err, MICROVM_E_INVALID, "decompression bomb");
}

static void damaged_archives_are_refused(void **state)
{
    struct rig *r = *state;
    ADD("file", 0100644, .size = 100000);
    struct mv_blob blob = tarball_end(&r->tar);
    blob.length = 5000;
    assert_error(mv_layer_apply(&r->tree, &r->store, &blob, &r->options, NULL, &r->err),
                 &r->err, MICROVM_E_INVALID, "no usable tar archive");
    assert_null(mv_tree_find(&r->tree, "file", NULL));
    blob = (struct mv_blob){.fd = -1, .data = "this is not an archive", .length = 22};
    assert_error(mv_layer_apply(&r->tree, &r->store, &blob, &r->options, NULL, &r->err),
                 &r->err, MICROVM_E_INVALID, "no usable tar archive");
    blob = (struct mv_blob){
        .fd = -1, .data = "\x1f\x8b\x08\0\0\0\0\0\0\3junkjunk", .length = 18};
    assert_error(mv_layer_apply(&r->tree, &r->store, &blob, &r->options, NULL, &r->err),
                 &r->err, MICROVM_E_INVALID, "decompressed");
    blob = (struct mv_blob){.fd = -1, .data = "", .length = 0};
    assert_ok(mv_layer_apply(&r->tree, &r->store, &blob, &r->options, NULL, &r->err),
              &r->err);
}

static int stop(void *opaque, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    (void)done;
    (void)total;
    return ++*(int *)opaque == 3;
}

static void the_caller_can_cancel(void **state)
{
    struct rig *r = *state;
    int calls = 0;
    struct mv_progress progress = {stop, &calls};
    r->options.progress = &progress;
    ADD("file", 0100644, .size = (int64_t)MV_MIB(4));
    (void)tarball_end(&r->tar);
    tarball_done(&r->tar);
    tarball_begin(&r->tar, ARCHIVE_FILTER_GZIP);
    ADD("file", 0100644, .size = (int64_t)MV_MIB(4));
    assert_error(apply(r), &r->err, MICROVM_E_CANCELLED, "cancelled");
    assert_int_equal(calls, 3);
    assert_null(mv_tree_find(&r->tree, "file", NULL));
}

#define LAYER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(an_archive_arrives_whole),
        LAYER_TEST(every_compression_is_read),
        LAYER_TEST(layers_hide_what_is_below),
        LAYER_TEST(hostile_names_are_refused),
        LAYER_TEST(hostile_links_are_refused),
        LAYER_TEST(devices_are_a_matter_of_policy),
        LAYER_TEST(bombs_do_not_go_off),
        LAYER_TEST(a_bomb_in_what_is_skipped_is_told_by_its_ratio),
        LAYER_TEST(damaged_archives_are_refused),
        LAYER_TEST(the_caller_can_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
