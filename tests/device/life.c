/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Steps of the life-cycle cases.
 */
#include "life.h"

#include "util/bytes.h"

#include <stdio.h>

enum { LIFE_CASES_MAX = 32 };

static struct mv_vdev *life_device(struct life *t)
{
    struct mv_vdev *dev = NULL;
    microvm_error err;
    assert_ok(t->type->open(&t->rig, &dev, &err), &err);
    return dev;
}

struct life *life_open(void **state)
{
    const struct life_setting *setting = *state;
    struct life *t = test_calloc(1, sizeof *t);
    t->type = setting->type;
    t->data = 0x100000;
    vrig_open_on(&t->rig, setting->transport);
    vrig_attach(&t->rig, life_device(t));
    return t;
}

void life_replace(struct life *t)
{
    vrig_detach(&t->rig);
    vrig_turn(&t->rig);
    vrig_replace(&t->rig, life_device(t));
}

void life_close(struct life *t)
{
    vrig_close(&t->rig);
    test_free(t);
}

struct vdriver_queue *life_queue(struct life *t)
{
    return &t->rig.driver.queue[t->type->request_queue];
}

uint32_t life_status(struct life *t)
{
    return vdriver_read(&t->rig.driver, VREG_STATUS);
}

uint16_t life_add(struct life *t)
{
    struct vdriver_buffer buffer[4];
    unsigned n = t->type->request(&t->rig, t->data, buffer);
    t->data = 0x100000 + (t->data + 0x10000) % 0x100000;
    return vdriver_add(life_queue(t), buffer, n);
}

void life_ask(struct life *t)
{
    uint16_t head = life_add(t), back;
    uint32_t written;
    vdriver_kick(&t->rig.driver, t->type->request_queue);
    assert_true(vrig_wait_used(&t->rig, t->type->request_queue, &back, &written));
    assert_int_equal(back, head);
}

void life_await_pulses(struct life *t, unsigned pulses)
{
    for (unsigned ms = 0; t->rig.pulses < pulses && ms < 1000; ms++) {
        uv_sleep(1);
        vrig_turn(&t->rig);
    }
    assert_int_equal(t->rig.pulses, pulses);
}

void life_start(struct life *t)
{
    t->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&t->rig.driver, ALL));
    assert_int_equal(t->rig.driver.queues, t->type->queues);
}

void life_expect_failure(struct life *t, const char *what)
{
    unsigned q = t->type->request_queue;
    uint16_t head;
    uint32_t written;
    if (!(life_status(t) & NEEDS_RESET))
        fail_msg("%s: \"%s\" was accepted", t->type->name, what);
    assert_int_equal(t->rig.failures, 1);
    assert_true(t->rig.why[0] != '\0');
    assert_true(vdriver_interrupt(&t->rig.driver) & CONFIG);
    vdriver_write(&t->rig.driver, VREG_QUEUE_NOTIFY, q);
    vrig_turn(&t->rig);
    assert_int_equal(t->rig.failures, 1);
    vdriver_write(&t->rig.driver, VREG_STATUS, RUNNING);
    assert_true(life_status(t) & NEEDS_RESET);
    vdriver_reset(&t->rig.driver);
    life_start(t);
    assert_false(vdriver_reap(life_queue(t), &head, &written));
    life_ask(t);
    assert_int_equal(t->rig.failures, 1);
    t->rig.failures = 0;
    t->rig.why[0] = '\0';
}

void life_expect_new(struct life *t)
{
    struct vdriver *d = &t->rig.driver;
    assert_int_equal(life_status(t), 0);
    assert_int_equal(vdriver_read(d, VREG_INTERRUPT_STATUS), 0);
    for (unsigned q = 0; q < t->type->queues; q++) {
        vdriver_write(d, VREG_QUEUE_SEL, q);
        assert_int_equal(vdriver_read(d, VREG_QUEUE_READY), 0);
        assert_true(vdriver_read(d, VREG_QUEUE_NUM_MAX) > 0);
    }
    assert_int_equal(t->rig.dev->life, MV_VDEV_IDLE);
}

/* The cases' names say type and transport, so that a report does. */
static int life_run(const struct CMUnitTest *cases, size_t count,
                    const struct life_setting *setting)
{
    struct CMUnitTest tests[LIFE_CASES_MAX];
    char name[LIFE_CASES_MAX][96];
    assert_true(count <= LIFE_CASES_MAX);
    memcpy(tests, cases, count * sizeof tests[0]);
    for (size_t n = 0; n < count; n++) {
        (void)snprintf(name[n], sizeof name[n], "%s, %s over %s", cases[n].name,
                       setting->type->name, vrig_transport_name[setting->transport]);
        tests[n].name = name[n];
        memcpy(&tests[n].initial_state, &setting, sizeof setting); /* it is not const */
    }
    return _cmocka_run_group_tests(setting->type->name, tests, count, NULL, NULL);
}

int life_main(const struct CMUnitTest *cases, size_t count, enum vrig_transport first)
{
    int failed = 0;
    for (unsigned i = 0; i < device_type_count; i++) {
        for (unsigned way = first; way < VRIG_TRANSPORTS; way++) {
            const struct life_setting setting = {&device_types[i],
                                                 (enum vrig_transport)way};
            failed += life_run(cases, count, &setting);
        }
    }
    return failed;
}
