/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Disks without a device in front: the promises that a device builds on, order of
 * calls, drain, sleep, silence after the end.
 */
#include "disk_bed.h"

#ifdef __linux__
#include <sys/resource.h>
#endif

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_keep_their_promises),
        cmocka_unit_test(io_uring_keeps_its_promises),
        cmocka_unit_test(threads_close_in_silence),
        cmocka_unit_test(io_uring_closes_in_silence),
        cmocka_unit_test(a_lone_request_ends_inside_commit),
        cmocka_unit_test(endless_requests_leave_the_loop_to_others),
        cmocka_unit_test(errors_reach_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
