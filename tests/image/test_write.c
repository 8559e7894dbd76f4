/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Writers: the same tree gives the same bytes, and what they say is read by programs
 * that are not ours: e2fsck and debugfs, unsquashfs, libarchive, fsck.erofs. What is
 * not installed is skipped, by name.
 */
#include "sample.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

static int set_up(void **state)
{
    struct sample *s = calloc(1, sizeof *s);
    *state = s;
    return sample_open(s);
}

static int tear_down(void **state)
{
    sample_close(*state);
    free(*state);
    return 0;
}

/* ---- writing and looking --------------------------------------------------------- */

static int write_as(struct sample *s, enum mv_format format, enum mv_compress compress)
{
    struct mv_write w = {.tree = &s->tree,
                         .store = &s->store,
                         .format = format,
                         .compress = compress,
                         .mkfs_erofs = getenv("MICROVM_MKFS_EROFS"),
                         .epoch_s = SAMPLE_EPOCH};
    assert_ok(mv_files_resize(s->fd, 0, "image", &s->err), &s->err);
    switch (format) {
    case MV_FORMAT_INITRAMFS:
    case MV_FORMAT_TAR:
        return mv_write_archive(&w, s->fd, &s->err);
    case MV_FORMAT_SQUASHFS:
        return mv_write_squashfs(&w, s->fd, &s->err);
    case MV_FORMAT_EXT4:
        return mv_write_ext4(&w, s->fd, &s->err);
    case MV_FORMAT_EROFS:
        return mv_write_erofs(&w, "/tmp", s->fd, &s->err);
    case MV_FORMAT_DIR:
        break;
    }
    fail();
    return -1;
}

static struct mv_digest digest_of(struct sample *s)
{
    struct mv_digest digest;
    uint64_t bytes;
    assert_ok(mv_files_size(s->fd, &bytes, &s->err), &s->err);
    assert_true(bytes > 0);
    assert_ok(mv_digest_file(s->fd, bytes, NULL, &digest, &s->err), &s->err);
    return digest;
}

/* What a program says about the image, which it finds as $IMAGE. */
static char *ask(struct sample *s, const char *command)
{
    char path[64], line[512], tool[64];
    (void)sscanf(command, "%63s", tool);
    (void)snprintf(line, sizeof line, "command -v %s >/dev/null", tool);
    if (system(line) != 0) {
        print_message("%s is not installed\n", tool);
        skip();
    }
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), s->fd);
    assert_int_equal(setenv("IMAGE", path, 1), 0);
    FILE *answer = popen(command, "r");
    assert_non_null(answer);
    char *text = calloc(1, 1 << 21);
    assert_non_null(text);
    size_t length = fread(text, 1, (1 << 21) - 1, answer);
    text[length] = '\0';
    int status = pclose(answer);
    if (status)
        print_error("%s: status %d: %s\n", command, status, text);
    assert_int_equal(status, 0);
    return text;
}

static void expect(struct sample *s, const char *command, const char *words)
{
    char *text = ask(s, command);
    if (!strstr(text, words))
        print_error("%s: no '%s' in:\n%s\n", command, words, text);
    assert_non_null(strstr(text, words));
    free(text);
}

static void expect_noise(struct sample *s, const char *command)
{
    static uint8_t noise[SAMPLE_NOISE];
    struct mv_digest digest;
    char text[MV_DIGEST_TEXT];
    sample_noise(noise, sizeof noise);
    assert_ok(mv_digest_of(noise, sizeof noise, &digest, &s->err), &s->err);
    mv_digest_text(&digest, text);
    expect(s, command, strchr(text, ':') + 1);
}

/* ---- the same again -------------------------------------------------------------- */

static const struct {
    enum mv_format format;
    enum mv_compress compress;
} kinds[] = {
    {MV_FORMAT_INITRAMFS, MV_COMPRESS_AUTO}, {MV_FORMAT_INITRAMFS, MV_COMPRESS_NONE},
    {MV_FORMAT_INITRAMFS, MV_COMPRESS_ZSTD}, {MV_FORMAT_TAR, MV_COMPRESS_AUTO},
    {MV_FORMAT_TAR, MV_COMPRESS_GZIP},       {MV_FORMAT_TAR, MV_COMPRESS_ZSTD},
    {MV_FORMAT_TAR, MV_COMPRESS_LZ4},        {MV_FORMAT_TAR, MV_COMPRESS_XZ},
    {MV_FORMAT_SQUASHFS, MV_COMPRESS_AUTO},  {MV_FORMAT_SQUASHFS, MV_COMPRESS_GZIP},
    {MV_FORMAT_SQUASHFS, MV_COMPRESS_LZ4},   {MV_FORMAT_SQUASHFS, MV_COMPRESS_XZ},
    {MV_FORMAT_EXT4, MV_COMPRESS_AUTO},
};

static void the_same_tree_gives_the_same_bytes(void **state)
{
    for (unsigned i = 0; i < MV_ARRAY_LEN(kinds); i++) {
        struct mv_digest digest[2];
        for (unsigned n = 0; n < 2; n++) {
            if (n) { /* from a new tree, in a file that had other bytes */
                (void)tear_down(state);
                assert_int_equal(set_up(state), 0);
                assert_ok(mv_files_write(((struct sample *)*state)->fd, 0, "x", 1,
                                         "image", NULL),
                          NULL);
            } else if (i) {
                (void)tear_down(state);
                assert_int_equal(set_up(state), 0);
            }
            struct sample *s = *state;
            sample_fill(s, kinds[i].format != MV_FORMAT_INITRAMFS);
            assert_ok(write_as(s, kinds[i].format, kinds[i].compress), &s->err);
            digest[n] = digest_of(s);
        }
        assert_true(mv_digest_same(&digest[0], &digest[1]));
    }
}

/* ---- archives -------------------------------------------------------------------- */

struct found {
    unsigned entries, checked;
};

static void check_entry(struct archive *a, struct archive_entry *e, bool cpio)
{
    static uint8_t noise[SAMPLE_NOISE], got[SAMPLE_NOISE + 1];
    const char *name = archive_entry_pathname(e), *value_name;
    const void *value;
    size_t length;
    assert_int_equal(archive_entry_mtime(e), SAMPLE_TIME);
    if (!strcmp(name, "bin/tool")) {
        sample_noise(noise, sizeof noise);
        assert_int_equal(archive_entry_mode(e), 0104755);
        assert_int_equal(archive_entry_uid(e), 1000);
        assert_int_equal(archive_entry_gid(e), 70000);
        assert_int_equal(archive_read_data(a, got, sizeof got), sizeof noise);
        assert_memory_equal(got, noise, sizeof noise);
        assert_int_equal(archive_entry_xattr_reset(e), cpio ? 0 : 2);
        if (!cpio)
            assert_int_equal(archive_entry_xattr_next(e, &value_name, &value, &length),
                             ARCHIVE_OK);
    } else if (!strcmp(name, "etc/again")) {
        assert_int_equal(archive_entry_size(e), 0); /* its content came before */
        assert_string_equal(archive_entry_hardlink(e), "bin/tool");
    } else if (!strcmp(name, "etc/far")) {
        assert_int_equal(strlen(archive_entry_symlink(e)), 200);
    } else if (!strcmp(name, "dev/many")) {
        assert_int_equal(archive_entry_filetype(e), AE_IFBLK);
        assert_int_equal(archive_entry_rdevmajor(e), 259);
        assert_int_equal(archive_entry_rdevminor(e), 70000);
    } else if (!strcmp(name, ".")) {
        assert_int_equal(archive_entry_mode(e), 0040711);
        assert_int_equal(archive_entry_uid(e), 5);
    } else if (!strcmp(name, "zeros")) {
        assert_int_equal(archive_entry_size(e), SAMPLE_HOLE);
    }
}

/* libarchive's reader is not its writer. */
static void an_archive_is_read_by_libarchive(void **state)
{
    for (unsigned i = 0; kinds[i].format != MV_FORMAT_SQUASHFS; i++) {
        struct archive_entry *e;
        unsigned entries = 0;
        if (i) {
            (void)tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
        struct sample *s = *state;
        bool cpio = kinds[i].format == MV_FORMAT_INITRAMFS;
        sample_fill(s, !cpio);
        assert_ok(write_as(s, kinds[i].format, kinds[i].compress), &s->err);
        struct archive *a = archive_read_new();
        assert_int_equal(archive_read_support_filter_all(a), ARCHIVE_OK);
        assert_int_equal(archive_read_support_format_all(a), ARCHIVE_OK);
        assert_int_equal(lseek(s->fd, 0, SEEK_SET), 0);
        assert_int_equal(archive_read_open_fd(a, s->fd, 65536), ARCHIVE_OK);
        for (; archive_read_next_header(a, &e) == ARCHIVE_OK; entries++)
            check_entry(a, e, cpio);
        assert_int_equal(archive_errno(a), 0);
        assert_int_equal(entries, 1 + s->tree.entries);
        (void)archive_read_free(a);
    }
}

/* newc has eight digits for a size. */
static void what_cpio_cannot_say_is_refused(void **state)
{
    struct sample *s = *state;
    s->store.bytes_max = UINT64_MAX;
    (void)sample_file(s, "large", 0644, NULL, 0, (UINT64_C(1) << 32) + 1);
    assert_error(write_as(s, MV_FORMAT_INITRAMFS, MV_COMPRESS_NONE), &s->err,
                 MICROVM_E_INVALID, "'large' cannot be in such an archive");
}

/* ---- squashfs -------------------------------------------------------------------- */

static void squashfs_is_what_unsquashfs_reads(void **state)
{
    static const enum mv_compress ways[] = {MV_COMPRESS_ZSTD, MV_COMPRESS_GZIP,
                                            MV_COMPRESS_LZ4, MV_COMPRESS_XZ};
    struct sample *s = *state;
    sample_fill(s, true);
    for (unsigned i = 0; i < MV_ARRAY_LEN(ways); i++) {
        assert_ok(write_as(s, MV_FORMAT_SQUASHFS, ways[i]), &s->err);
        expect(s, "unsquashfs -lln $IMAGE", "-rwsr-xr-x 1000/70000           300000 ");
        expect(s, "unsquashfs -lln $IMAGE",
               "squashfs-root/many/a-name-of-some-length-0699\n");
        expect(s, "unsquashfs -lln $IMAGE", "drwx--x--x 5/0 ");
        expect(s, "unsquashfs -lln $IMAGE", "squashfs-root/out -> ../../etc/passwd\n");
        expect(s, "unsquashfs -lln $IMAGE", "crw-rw-rw- 0/0                   1,  3 ");
        expect_noise(s, "unsquashfs -cat $IMAGE etc/again | sha256sum");
    }
    expect(s, "unsquashfs -s $IMAGE", "Number of xattr ids 2");
    expect(s, "unsquashfs -s $IMAGE", "Number of inodes 716");
    expect(s, "unsquashfs -mkfs-time $IMAGE", "1600000000");
}

/* ---- ext4 ------------------------------------------------------------------------ */

static void ext4_is_what_e2fsck_wants(void **state)
{
    struct sample *s = *state;
    sample_fill(s, true);
    assert_ok(write_as(s, MV_FORMAT_EXT4, MV_COMPRESS_AUTO), &s->err);
    free(ask(s, "e2fsck -fn $IMAGE 2>&1"));
    expect(s, "debugfs -R 'stat /bin/tool' $IMAGE 2>&1", "Mode:  04755");
    expect(s, "debugfs -R 'stat /bin/tool' $IMAGE 2>&1", "Group: 70000");
    expect(s, "debugfs -R 'stat /bin/tool' $IMAGE 2>&1", "Links: 2");
    expect(s, "debugfs -R 'stat /dev/many' $IMAGE 2>&1", "259:70000");
    expect(s, "debugfs -R 'ls -p /many' $IMAGE 2>&1", "/a-name-of-some-length-0699/");
    expect(s, "debugfs -R 'ea_list /bin/tool' $IMAGE 2>&1", "user.large (201)");
    expect_noise(s, "debugfs -R 'cat /etc/again' $IMAGE 2>/dev/null | sha256sum");
}

static void ext4_of_every_size_is_whole(void **state)
{
    static const uint64_t sizes[] = {MV_MIB(1), MV_MIB(8), MV_MIB(127), MV_GIB(2)};
    struct sample *s = *state;
    (void)sample_file(s, "file", 0644, "content", 7, 7);
    for (unsigned i = 0; i < MV_ARRAY_LEN(sizes); i++) {
        struct mv_write w = {.tree = &s->tree,
                             .store = &s->store,
                             .format = MV_FORMAT_EXT4,
                             .size_bytes = sizes[i]};
        uint64_t bytes;
        assert_ok(mv_files_resize(s->fd, 0, "image", &s->err), &s->err);
        assert_ok(mv_write_ext4(&w, s->fd, &s->err), &s->err);
        assert_ok(mv_files_size(s->fd, &bytes, &s->err), &s->err);
        assert_int_equal(bytes, sizes[i]);
        free(ask(s, "e2fsck -fn $IMAGE 2>&1"));
        expect(s, "debugfs -R 'cat /file' $IMAGE 2>/dev/null", "content");
    }
}

static void ext4_that_is_too_small(void **state)
{
    struct sample *s = *state;
    struct mv_write w = {.tree = &s->tree, .store = &s->store, .size_bytes = MV_MIB(1)};
    sample_fill(s, true);
    assert_error(mv_write_ext4(&w, s->fd, &s->err), &s->err, MICROVM_E_INVALID,
                 "a larger --size is needed");
    w.size_bytes = 4096;
    assert_error(mv_write_ext4(&w, s->fd, &s->err), &s->err, MICROVM_E_INVALID,
                 "is no size");
}

/* ---- erofs ----------------------------------------------------------------------- */

static void erofs_is_what_fsck_erofs_reads(void **state)
{
    struct sample *s = *state;
    sample_fill(s, true);
    int rc = write_as(s, MV_FORMAT_EROFS, MV_COMPRESS_LZ4);
    if (rc &&
        (strstr(s->err.message, "not installed") || strstr(s->err.message, "1.7"))) {
        print_message("%s\n", s->err.message);
        skip();
    }
    assert_ok(rc, &s->err);
    struct mv_digest first = digest_of(s), second;
    assert_ok(write_as(s, MV_FORMAT_EROFS, MV_COMPRESS_LZ4), &s->err);
    second = digest_of(s);
    assert_true(mv_digest_same(&first, &second));
    free(ask(s, "fsck.erofs $IMAGE 2>&1"));
}

/* ---- refusals -------------------------------------------------------------------- */

static void what_a_format_has_not_is_refused(void **state)
{
    static const struct {
        enum mv_format format;
        enum mv_compress compress;
        int code;
        const char *words;
    } cases[] = {
        {MV_FORMAT_EXT4, MV_COMPRESS_GZIP, MICROVM_E_UNSUPPORTED, "no compression"},
        {MV_FORMAT_INITRAMFS, MV_COMPRESS_LZ4, MICROVM_E_UNSUPPORTED, "gzip or zstd"},
        {MV_FORMAT_INITRAMFS, MV_COMPRESS_XZ, MICROVM_E_UNSUPPORTED, "gzip or zstd"},
        {MV_FORMAT_SQUASHFS, MV_COMPRESS_NONE, MICROVM_E_UNSUPPORTED, "squashfs"},
    };
    struct sample *s = *state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++)
        assert_error(write_as(s, cases[i].format, cases[i].compress), &s->err,
                     cases[i].code, cases[i].words);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_tree_gives_the_same_bytes),
        TEST(an_archive_is_read_by_libarchive),
        TEST(what_cpio_cannot_say_is_refused),
        TEST(squashfs_is_what_unsquashfs_reads),
        TEST(ext4_is_what_e2fsck_wants),
        TEST(ext4_of_every_size_is_whole),
        TEST(ext4_that_is_too_small),
        TEST(erofs_is_what_fsck_erofs_reads),
        TEST(what_a_format_has_not_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
