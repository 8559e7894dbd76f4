/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Disks without a device in front: what is refused and in which words, and the promises
 * that a device builds on: order of calls, drain, sleep.
 */
#include "check.h"

#include "backing/disk_impl.h"
#include "scratch.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __linux__
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

struct fixture {
    struct mv_loop loop;
    struct mv_log log;
    char line[256]; /* the last one logged */
    char path[SCRATCH_PATH];
    struct mv_disk_config config;
    struct mv_disk *disk;
};

static void keep_line(void *user, int level, const char *text)
{
    struct fixture *f = user;
    (void)level;
    (void)snprintf(f->line, sizeof f->line, "%s", text);
}

static void setup(struct fixture *f)
{
    microvm_error err;
    *f = (struct fixture){.config.path = NULL};
    f->config.path = f->path;
    f->log = (struct mv_log){keep_line, f, MICROVM_LOG_DEBUG};
    assert_ok(mv_loop_open(&f->loop, &err), &err);
}

static void teardown(struct fixture *f)
{
    if (f->disk)
        f->disk->ops->close(f->disk);
    mv_loop_close(&f->loop);
    scratch_remove(f->path);
}

static int open_any(struct fixture *f, microvm_error *err)
{
    return mv_disk_open(&f->config, &f->loop, &f->log, &f->disk, err);
}

/* -- what is refused -- */

static void check_refused(const void *head, size_t length, const void *tail,
                          const char *words)
{
    enum { BYTES = 64 << 10 };
    struct fixture f;
    microvm_error err;
    uint8_t *image = calloc(1, BYTES);
    assert_non_null(image);
    setup(&f);
    memcpy(image, head, length);
    if (tail)
        memcpy(image + BYTES - 512, tail, 8);
    scratch_file(f.path, image, BYTES);
    free(image);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID, words);
    assert_non_null(strstr(err.message, f.path));
    assert_null(f.disk);
    teardown(&f);
}

static void names_formats_that_are_not_raw(void **state)
{
    static const char convert[] = "only raw images are supported: convert it with "
                                  "'qemu-img convert -O raw'";
    (void)state;
    check_refused("QFI\xfb\0\0\0\3", 8, NULL, "a qcow2 image");
    check_refused("QFI\xfb", 4, NULL, convert);
    check_refused("KDMV\1", 5, NULL, "a VMDK image");
    check_refused("COWD\1", 5, NULL, "a VMDK image");
    check_refused("# Disk DescriptorFile\nversion=1\n", 32, NULL, "VMDK description");
    check_refused("conectix", 8, NULL, "a VHD image");
    check_refused("", 0, "conectix", "a VHD image"); /* fixed: a footer only */
    check_refused("vhdxfile", 8, NULL, "a VHDX image");
    check_refused("<<< Oracle VM VirtualBox Disk Image >>>\n", 40, NULL, "VirtualBox");
    check_refused("\x1f\x8b\x08", 3, NULL, "a gzip file");
    check_refused("\x1f\x8b\x08", 3, NULL, "uncompress it first");
    check_refused("\xfd"
                  "7zXZ",
                  6, NULL, "an xz file");
    check_refused("\x28\xb5\x2f\xfd", 4, NULL, "a zstd file");
}

static void a_qcow2_footer_is_data(void **state)
{
    struct fixture f;
    microvm_error err;
    uint8_t image[1024] = {0};
    (void)state;
    setup(&f);
    memcpy(image + 512, "QFI\xfb", 4);
    scratch_file(f.path, image, sizeof image);
    assert_ok(open_any(&f, &err), &err);
    assert_int_equal(f.disk->size_bytes, 1024);
    assert_int_equal(f.disk->block_bytes, 512);
    teardown(&f);
}

static void names_sizes_that_are_wrong(void **state)
{
    struct fixture f;
    microvm_error err;
    (void)state;
    setup(&f);
    scratch_sparse(f.path, 0);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID, "is empty");
    assert_non_null(strstr(err.message, "truncate -s 1G"));
    scratch_truncate(f.path, 1000);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID,
                 "its size of 1000 bytes is no multiple of 512");
    assert_non_null(strstr(err.message, "truncate -s %512"));
    scratch_truncate(f.path, 1024);
    assert_ok(open_any(&f, &err), &err);
    teardown(&f);
}

static void names_what_is_no_image(void **state)
{
    struct fixture f;
    microvm_error err;
    (void)state;
    setup(&f);
    const char *kind = scratch_special(f.path, SCRATCH_DIRECTORY);
    assert_error(open_any(&f, &err), &err, MICROVM_E_INVALID, kind);
    scratch_remove(f.path);
    assert_error(open_any(&f, &err), &err, MICROVM_E_IO, "no such file");
    teardown(&f);
}

static void two_machines_cannot_write_one_image(void **state)
{
    struct fixture f, g;
    microvm_error err;
    (void)state;
    setup(&f);
    setup(&g);
    scratch_sparse(f.path, 4096);
    g.config.path = f.path;
    assert_ok(open_any(&f, &err), &err);
    assert_error(open_any(&g, &err), &err, MICROVM_E_IO, "another machine or program");
    g.config.read_only = true;
    assert_error(open_any(&g, &err), &err, MICROVM_E_IO, "for writing");
    f.disk->ops->close(f.disk);
    f.config.read_only = true;
    assert_ok(open_any(&f, &err), &err);
    assert_ok(open_any(&g, &err), &err); /* many may read */
    teardown(&f);
    (void)snprintf(g.path, sizeof g.path, "%s", f.path);
    teardown(&g);
}

/* -- what is promised -- */

enum { REQUESTS = 40, REQUEST_BYTES = 4096 };

struct batch {
    struct mv_disk_request request[REQUESTS];
    struct mv_span span[REQUESTS];
    uint8_t *data;
    unsigned done, completed;
    bool submitting;
    int result[REQUESTS];
};

static void batch_done(struct mv_disk_request *request, int result)
{
    struct batch *batch = request->owner;
    assert_false(batch->submitting);
    batch->result[request - batch->request] = result;
    batch->done++;
}

static void batch_completed(void *owner)
{
    struct batch *batch = owner;
    assert_true(batch->done > 0);
    batch->completed++;
}

static void batch_submit(struct batch *batch, struct mv_disk *disk, enum mv_disk_op op)
{
    disk->completed = batch_completed;
    disk->owner = batch;
    batch->done = batch->completed = 0;
    batch->submitting = true;
    for (unsigned i = 0; i < REQUESTS; i++) {
        batch->span[i] =
            (struct mv_span){batch->data + (size_t)i * REQUEST_BYTES, REQUEST_BYTES};
        batch->request[i] = (struct mv_disk_request){
            .op = op,
            .offset = (uint64_t)i * REQUEST_BYTES,
            .length = REQUEST_BYTES,
            .span = &batch->span[i],
            .spans = 1,
            .done = batch_done,
            .owner = batch,
        };
        disk->ops->submit(disk, &batch->request[i]);
    }
    batch->submitting = false;
}

static int batch_failures(const struct batch *batch)
{
    int n = 0;
    for (unsigned i = 0; i < REQUESTS; i++)
        n += batch->result[i] != 0;
    return n;
}

/* Every operation, with the loop or by drain alone; then the idle disk wakes nobody. */
static void check_promises(mv_disk_make *make)
{
    struct fixture f;
    struct batch batch = {.done = 0};
    microvm_error err;
    setup(&f);
    scratch_sparse(f.path, REQUESTS * REQUEST_BYTES);
    int rc = mv_disk_open_by(make, &f.config, &f.loop, &f.disk, &err);
    if (rc == MICROVM_E_UNSUPPORTED) {
        teardown(&f);
        print_message("not run: %s\n", err.message);
        skip();
    }
    assert_ok(rc, &err);
    batch.data = malloc((size_t)REQUESTS * REQUEST_BYTES);
    assert_non_null(batch.data);
    const enum mv_disk_op ops[] = {MV_DISK_WRITE, MV_DISK_READ, MV_DISK_FLUSH,
                                   MV_DISK_DISCARD, MV_DISK_ZERO};
    for (unsigned i = 0; i < MV_ARRAY_LEN(ops) * 2; i++) {
        memset(batch.data, 0x5a, (size_t)REQUESTS * REQUEST_BYTES);
        batch_submit(&batch, f.disk, ops[i / 2]);
        if (i % 2) {
            f.disk->ops->drain(f.disk);
            assert_int_equal(batch.done, REQUESTS);
        } else {
            f.disk->ops->commit(f.disk);
            while (batch.done < REQUESTS)
                (void)uv_run(&f.loop.uv, UV_RUN_ONCE);
        }
        assert_int_equal(batch_failures(&batch), 0);
        assert_in_range(batch.completed, 1, REQUESTS);
        mv_loop_turn(&f.loop);
    }
    assert_int_equal(f.disk->requests, MV_ARRAY_LEN(ops) * 2 * REQUESTS);
    f.disk->ops->drain(f.disk); /* of nothing */
    free(batch.data);
#ifdef __linux__
    struct rusage before, after;
    uv_sleep(20);
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    uv_sleep(200);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    /* Our own sleep, and the thread sanitizer's thread. */
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 5);
#endif
    teardown(&f);
}

/* What ended before the disk was closed may still be ringing when its loop turns. */
static void check_the_last_ring(mv_disk_make *make)
{
    struct fixture f;
    struct batch batch = {.done = 0};
    microvm_error err;
    setup(&f);
    scratch_sparse(f.path, REQUESTS * REQUEST_BYTES);
    batch.data = calloc(REQUESTS, REQUEST_BYTES);
    assert_non_null(batch.data);
    for (unsigned i = 0; i < 20; i++) {
        int rc = mv_disk_open_by(make, &f.config, &f.loop, &f.disk, &err);
        if (rc == MICROVM_E_UNSUPPORTED) {
            free(batch.data);
            teardown(&f);
            print_message("not run: %s\n", err.message);
            skip();
        }
        assert_ok(rc, &err);
        mv_loop_turn(&f.loop); /* from here on it hears */
        batch_submit(&batch, f.disk, MV_DISK_FLUSH);
        f.disk->ops->commit(f.disk);
        f.disk->ops->drain(f.disk);
        assert_int_equal(batch.done, REQUESTS);
        f.disk->ops->close(f.disk);
        f.disk = NULL;
        mv_loop_turn(&f.loop);
        mv_loop_turn(&f.loop);
        assert_int_equal(batch.done, REQUESTS);
    }
    free(batch.data);
    teardown(&f);
}

static void threads_close_in_silence(void **state)
{
    (void)state;
    check_the_last_ring(mv_disk_threads_open);
}

static void io_uring_closes_in_silence(void **state)
{
    (void)state;
    check_the_last_ring(mv_disk_uring_open);
}

static void threads_keep_their_promises(void **state)
{
    (void)state;
    check_promises(mv_disk_threads_open);
}

static void io_uring_keeps_its_promises(void **state)
{
    (void)state;
    check_promises(mv_disk_uring_open);
}

static void lone_done(struct mv_disk_request *request, int result)
{
    *(int *)request->owner = result;
}

/* A write or flush that is alone is carried out where it stands: no other thread, no
 * turn of the loop. With company it is not, and drain finds it wherever it is. */
static void a_lone_request_ends_inside_commit(void **state)
{
    static const enum mv_disk_op ops[] = {MV_DISK_WRITE, MV_DISK_FLUSH};
    uint8_t data[4096] = {1};
    struct mv_span span = {data, sizeof data};
    struct fixture f;
    microvm_error err;
    (void)state;
    setup(&f);
    scratch_sparse(f.path, 1 << 16);
    int rc = mv_disk_open_by(mv_disk_uring_open, &f.config, &f.loop, &f.disk, &err);
    if (rc == MICROVM_E_UNSUPPORTED) {
        teardown(&f);
        print_message("not run: %s\n", err.message);
        skip();
    }
    assert_ok(rc, &err);
    for (unsigned i = 0; i < 3 * MV_ARRAY_LEN(ops); i++) {
        int result[2] = {1, 1};
        struct mv_disk_request request[2];
        for (unsigned k = 0; k < 2; k++)
            request[k] = (struct mv_disk_request){.op = ops[i % 2],
                                                  .offset = 4096 * k,
                                                  .length = sizeof data,
                                                  .span = &span,
                                                  .spans = 1,
                                                  .done = lone_done,
                                                  .owner = &result[k]};
        f.disk->ops->submit(f.disk, &request[0]);
        assert_int_equal(result[0], 1); /* never inside submit */
        if (i < 2) {
            f.disk->ops->commit(f.disk);
            assert_int_equal(result[0], 0);
            continue;
        }
        if (i < 4)
            f.disk->ops->submit(f.disk, &request[1]);
        f.disk->ops->drain(f.disk);
        assert_int_equal(result[0], 0);
        assert_int_equal(result[1], i < 4 ? 0 : 1);
    }
    assert_int_equal(f.disk->requests, 2 + 4 + 2);
    teardown(&f);
}

/* A guest that has the next request ready before the last one's end is reported. */
struct eager {
    struct mv_disk *disk;
    struct mv_disk_request request[2];
    bool idle[2];
    unsigned ends, most;
};

static void eager_done(struct mv_disk_request *request, int result)
{
    struct eager *eager = request->owner;
    assert_int_equal(result, 0);
    eager->ends++;
    eager->idle[request - eager->request] = true;
}

static void eager_completed(void *owner)
{
    struct eager *eager = owner;
    for (unsigned i = 0; i < 2; i++) {
        if (!eager->idle[i] || eager->ends >= eager->most)
            continue;
        eager->idle[i] = false;
        eager->disk->ops->submit(eager->disk, &eager->request[i]);
    }
    eager->disk->ops->commit(eager->disk);
}

static void endless_requests_leave_the_loop_to_others(void **state)
{
    uint8_t data[512];
    struct mv_span span = {data, sizeof data};
    struct eager eager = {.idle = {true, true}, .most = 100000};
    struct fixture f;
    (void)state;
    setup(&f);
    scratch_sparse(f.path, 1 << 16);
    int rc = mv_disk_open_by(mv_disk_uring_open, &f.config, &f.loop, &f.disk, NULL);
    if (rc == MICROVM_E_UNSUPPORTED) {
        teardown(&f);
        skip();
    }
    assert_int_equal(rc, 0);
    eager.disk = f.disk;
    f.disk->completed = eager_completed;
    f.disk->owner = &eager;
    for (unsigned i = 0; i < 2; i++)
        eager.request[i] = (struct mv_disk_request){.op = MV_DISK_READ,
                                                    .length = sizeof data,
                                                    .span = &span,
                                                    .spans = 1,
                                                    .done = eager_done,
                                                    .owner = &eager};
    eager_completed(&eager);
    assert_in_range(eager.ends, 0, 1000);
    for (unsigned turn = 0; turn < 20; turn++)
        (void)uv_run(&f.loop.uv, UV_RUN_ONCE);
    assert_in_range(eager.ends, 20, 10000);
    eager.most = 0;
    f.disk->ops->drain(f.disk);
    assert_true(eager.idle[0] && eager.idle[1]);
    teardown(&f);
}

static void errors_reach_the_request(void **state)
{
    struct fixture f;
    struct batch batch = {.done = 0};
    microvm_error err;
    (void)state;
    setup(&f);
    scratch_sparse(f.path, REQUESTS * REQUEST_BYTES);
    batch.data = calloc(REQUESTS, REQUEST_BYTES);
    assert_non_null(batch.data);
    f.config.read_only = true;
    assert_ok(open_any(&f, &err), &err);
    batch_submit(&batch, f.disk, MV_DISK_WRITE); /* the host says no, too */
    f.disk->ops->drain(f.disk);
    assert_int_equal(batch_failures(&batch), REQUESTS);
    scratch_truncate(f.path, 512);
    batch_submit(&batch, f.disk, MV_DISK_READ);
    f.disk->ops->drain(f.disk);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(batch.result[i], UV_EIO);
    assert_int_equal(f.disk->read_bytes, 0);
    free(batch.data);
    teardown(&f);
}

/* As in a container that forbids io_uring; here for want of a descriptor. */
static void falls_back_to_threads_and_says_so(void **state)
{
    (void)state;
#if defined(__linux__) && MV_HAVE_URING
    struct fixture f;
    struct rlimit limit, low;
    microvm_error err;
    setup(&f);
    scratch_sparse(f.path, 4096);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int taken[32];
    for (unsigned i = 0; i < MV_ARRAY_LEN(taken); i++)
        taken[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    low = limit;
    low.rlim_cur = (rlim_t)taken[31] + 1;
    (void)close(taken[31]); /* for the file */
    (void)close(taken[30]); /* for the bell; there is none for the ring */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int rc = open_any(&f, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = 0; i < 30; i++)
        (void)close(taken[i]);
    assert_ok(rc, &err);
    assert_string_equal(f.disk->ops->name, "threads");
    assert_non_null(strstr(f.line, "threads instead of io_uring: io_uring is not"));
    teardown(&f);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_formats_that_are_not_raw),
        cmocka_unit_test(a_qcow2_footer_is_data),
        cmocka_unit_test(names_sizes_that_are_wrong),
        cmocka_unit_test(names_what_is_no_image),
        cmocka_unit_test(two_machines_cannot_write_one_image),
        cmocka_unit_test(threads_keep_their_promises),
        cmocka_unit_test(threads_close_in_silence),
        cmocka_unit_test(io_uring_closes_in_silence),
        cmocka_unit_test(io_uring_keeps_its_promises),
        cmocka_unit_test(a_lone_request_ends_inside_commit),
        cmocka_unit_test(endless_requests_leave_the_loop_to_others),
        cmocka_unit_test(errors_reach_the_request),
        cmocka_unit_test(falls_back_to_threads_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
