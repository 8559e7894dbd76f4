/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tree of an image: names in order, replacing, hard links, whiteouts of older
 * layers, walks, and every path that is refused.
 */
#include "check.h"

#include "tree.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
    struct mv_tree *tree = calloc(1, sizeof *tree);
    *state = tree;
    return mv_tree_init(tree, NULL);
}

static int tear_down(void **state)
{
    mv_tree_done(*state);
    free(*state);
    return 0;
}

static int put(struct mv_tree *tree, const char *path, enum mv_node_type type,
               microvm_error *err)
{
    char clean[MV_TREE_PATH_MAX];
    int rc = mv_tree_path(path, false, clean, err);
    if (rc)
        return rc;
    struct mv_node *node = mv_node_new(type);
    assert_non_null(node);
    node->mode = 0644;
    if (type == MV_NODE_SYMLINK)
        node->target = strdup("elsewhere");
    return mv_tree_put(tree, clean, node, err);
}

static void must_put(struct mv_tree *tree, const char *path, enum mv_node_type type)
{
    microvm_error err;
    assert_ok(put(tree, path, type, &err), &err);
}

/* All of it as one text: "a a/b a/c" in the order of a walk. */
static const char *listing(struct mv_tree *tree, char out[1024])
{
    struct mv_walk walk;
    size_t used = 0;
    out[0] = '\0';
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk))
        if (!walk.leaving && walk.name)
            used += (size_t)snprintf(out + used, 1024 - used, "%s%s", used ? " " : "",
                                     walk.path);
    return out;
}

static void names_are_in_order(void **state)
{
    char out[1024];
    must_put(*state, "b/z", MV_NODE_FILE);
    must_put(*state, "./a", MV_NODE_FILE);
    must_put(*state, "b//y/", MV_NODE_FILE);
    must_put(*state, "b-", MV_NODE_FILE);
    must_put(*state, "b/y2", MV_NODE_FILE);
    assert_string_equal(listing(*state, out), "a b b/y b/y2 b/z b-");
}

static void a_walk_comes_to_directories_twice(void **state)
{
    struct mv_walk walk;
    char out[256] = "";
    must_put(*state, "d/e/f", MV_NODE_FILE);
    must_put(*state, "g", MV_NODE_FILE);
    mv_walk_begin(&walk, *state);
    while (mv_walk_next(&walk)) {
        strcat(out, walk.leaving ? ">" : "<");
        strcat(out, walk.path);
    }
    assert_string_equal(out, "<<d<d/e<d/e/f>d/e>d<g>");
}

static void what_was_there_is_replaced(void **state)
{
    char out[1024];
    struct mv_tree *tree = *state;
    must_put(tree, "d/one", MV_NODE_FILE);
    must_put(tree, "d/two/three", MV_NODE_FILE);
    must_put(tree, "d", MV_NODE_DIRECTORY); /* keeps its children */
    assert_int_equal(mv_tree_find(tree, "d", NULL)->mode, 0644);
    assert_string_equal(listing(tree, out), "d d/one d/two d/two/three");
    must_put(tree, "d", MV_NODE_FILE); /* does not */
    assert_string_equal(listing(tree, out), "d");
    must_put(tree, "d", MV_NODE_DIRECTORY);
    assert_string_equal(listing(tree, out), "d");
    assert_int_equal(mv_tree_find(tree, "d", NULL)->type, MV_NODE_DIRECTORY);
}

static void hard_links_share_a_node(void **state)
{
    struct mv_tree *tree = *state;
    microvm_error err;
    char path[MV_TREE_PATH_MAX];
    must_put(tree, "z/file", MV_NODE_FILE);
    assert_ok(mv_tree_link(tree, "a", "z/file", &err), &err);
    assert_ok(mv_tree_link(tree, "m", "a", &err), &err);
    struct mv_node *node = mv_tree_find(tree, "m", NULL);
    assert_ptr_equal(node, mv_tree_find(tree, "z/file", NULL));
    assert_int_equal(node->names, 3);
    assert_int_equal(mv_tree_number(tree), 3); /* root, a, z */
    mv_tree_path_of(tree, node, path);
    assert_string_equal(path, "a"); /* the first in order has the data */
    must_put(tree, "a", MV_NODE_FILE);
    assert_int_equal(node->names, 2);
    (void)mv_tree_number(tree);
    mv_tree_path_of(tree, node, path);
    assert_string_equal(path, "m");
    /* A link that replaces the directory its target is in. */
    assert_ok(mv_tree_link(tree, "z", "z/file", &err), &err);
    assert_ptr_equal(mv_tree_find(tree, "z", NULL), node);
    assert_int_equal(node->names, 2);
    assert_error(mv_tree_link(tree, "x", "nowhere", &err), &err, MICROVM_E_INVALID,
                 "not there");
    must_put(tree, "dir/x", MV_NODE_FILE);
    assert_error(mv_tree_link(tree, "x", "dir", &err), &err, MICROVM_E_INVALID,
                 "a directory");
}

static void again_marks_later_names(void **state)
{
    struct mv_tree *tree = *state;
    struct mv_walk walk;
    char again[64] = "";
    must_put(tree, "b", MV_NODE_FILE);
    must_put(tree, "c", MV_NODE_FILE);
    assert_ok(mv_tree_link(tree, "d", "b", NULL), &(microvm_error){0});
    (void)mv_tree_number(tree);
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk))
        if (walk.again)
            strcat(again, walk.path);
    assert_string_equal(again, "d");
}

static void paths_that_lead_elsewhere(void **state)
{
    microvm_error err;
    char path[MV_TREE_PATH_MAX], longest[5000];
    static const struct {
        const char *path, *words;
    } bad[] = {
        {"../etc/passwd", "upwards"}, {"a/../../b", "upwards"},
        {"a/..", "upwards"},          {"..", "upwards"},
        {"/etc/passwd", "absolute"},  {"//x", "absolute"},
    };
    (void)state;
    assert_int_equal(mv_tree_path("/", false, path, &err), 0); /* of kaniko and umoci */
    assert_string_equal(path, "");
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++)
        assert_error(mv_tree_path(bad[i].path, false, path, &err), &err,
                     MICROVM_E_INVALID, bad[i].words);
    memset(longest, 'x', sizeof longest);
    longest[256] = '\0';
    assert_error(mv_tree_path(longest, false, path, &err), &err, MICROVM_E_INVALID,
                 "255 bytes");
    for (unsigned i = 0; i < sizeof longest; i++)
        longest[i] = i % 200 == 199 ? '/' : 'x';
    longest[4200] = '\0';
    assert_error(mv_tree_path(longest, false, path, &err), &err, MICROVM_E_INVALID,
                 "4095 bytes");
    for (unsigned i = 0; i < 600; i++)
        longest[i] = i % 2 ? '/' : 'x';
    longest[600] = '\0';
    assert_error(mv_tree_path(longest, false, path, &err), &err, MICROVM_E_INVALID,
                 "256 directories");
    longest[2 * MV_TREE_DEPTH_MAX - 1] =
        '\0'; /* the deepest that goes, and is walked */
    must_put(*state, longest, MV_NODE_DIRECTORY);
    assert_ok(mv_tree_opaque(*state, "", &err), &err);
    assert_int_equal(mv_tree_number(*state), MV_TREE_DEPTH_MAX + 1);
    assert_ok(mv_tree_path("/etc//./x/", true, path, &err), &err);
    assert_string_equal(path, "etc/x");
}

static void nothing_goes_through_a_link_or_a_file(void **state)
{
    microvm_error err;
    must_put(*state, "link", MV_NODE_SYMLINK);
    must_put(*state, "file", MV_NODE_FILE);
    assert_error(put(*state, "link/x", MV_NODE_FILE, &err), &err, MICROVM_E_INVALID,
                 "symbolic link 'link'");
    assert_error(put(*state, "file/a/b", MV_NODE_FILE, &err), &err, MICROVM_E_INVALID,
                 "no directory");
    assert_error(put(*state, ".", MV_NODE_FILE, &err), &err, MICROVM_E_INVALID, "root");
    assert_null(mv_tree_find(*state, "link/x", NULL));
}

static void whiteouts_hide_lower_layers_only(void **state)
{
    struct mv_tree *tree = *state;
    microvm_error err;
    char out[1024];
    must_put(tree, "d/old", MV_NODE_FILE);
    must_put(tree, "d/sub/old", MV_NODE_FILE);
    must_put(tree, "d/gone/old", MV_NODE_FILE);
    must_put(tree, "f", MV_NODE_FILE);
    tree->layer++;
    must_put(tree, "d/sub/new", MV_NODE_FILE);
    must_put(tree, "d/new", MV_NODE_FILE);
    assert_ok(mv_tree_opaque(tree, "d", &err), &err); /* in any order */
    assert_string_equal(listing(tree, out), "d d/new d/sub d/sub/new f");
    assert_ok(mv_tree_whiteout(tree, "f", &err), &err);
    assert_ok(mv_tree_whiteout(tree, "d/new", &err), &err); /* of this layer: stays */
    assert_ok(mv_tree_whiteout(tree, "never/there", &err), &err);
    assert_string_equal(listing(tree, out), "d d/new d/sub d/sub/new");
    tree->layer++;
    assert_ok(mv_tree_whiteout(tree, "d", &err), &err);
    assert_string_equal(listing(tree, out), "");
    assert_error(mv_tree_whiteout(tree, "", &err), &err, MICROVM_E_INVALID, "root");
}

static void limits_are_errors(void **state)
{
    struct mv_tree *tree = *state;
    microvm_error err;
    tree->entries_max = 3;
    must_put(tree, "a/b/c", MV_NODE_FILE);
    assert_error(put(tree, "d", MV_NODE_FILE, &err), &err, MICROVM_E_INVALID,
                 "more than 3 entries");
    struct mv_node *node = mv_tree_find(tree, "a", NULL);
    char name[32];
    for (unsigned i = 0; i < MV_TREE_XATTRS_MAX; i++) {
        (void)snprintf(name, sizeof name, "user.%u", i);
        assert_ok(mv_node_xattr(node, name, "x", 1, &err), &err);
    }
    assert_ok(mv_node_xattr(node, "user.7", "yz", 2, &err), &err);
    assert_error(mv_node_xattr(node, "user.x", "", 0, &err), &err, MICROVM_E_INVALID,
                 "more than 64");
    for (unsigned i = 1; i < node->xattrs; i++)
        assert_true(strcmp(node->xattr[i - 1].name, node->xattr[i].name) < 0);
}

static void times_can_be_clamped(void **state)
{
    must_put(*state, "a", MV_NODE_FILE);
    must_put(*state, "b", MV_NODE_FILE);
    mv_tree_find(*state, "a", NULL)->mtime_s = 1000;
    mv_tree_find(*state, "b", NULL)->mtime_s = 5;
    mv_tree_clamp(*state, 10);
    assert_int_equal(mv_tree_find(*state, "a", NULL)->mtime_s, 10);
    assert_int_equal(mv_tree_find(*state, "b", NULL)->mtime_s, 5);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(names_are_in_order),
        TREE_TEST(a_walk_comes_to_directories_twice),
        TREE_TEST(what_was_there_is_replaced),
        TREE_TEST(hard_links_share_a_node),
        TREE_TEST(again_marks_later_names),
        TREE_TEST(paths_that_lead_elsewhere),
        TREE_TEST(nothing_goes_through_a_link_or_a_file),
        TREE_TEST(whiteouts_hide_lower_layers_only),
        TREE_TEST(limits_are_errors),
        TREE_TEST(times_can_be_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
