/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the life-cycle cases share: a device of the type under test in its rig, and the
 * steps that cases are made of. Each step checks what it can.
 */
#ifndef TESTS_DEVICE_LIFE_H
#define TESTS_DEVICE_LIFE_H

#include "check.h"
#include "types.h"

/* Device status (2.1) and InterruptStatus (4.2.2). */
enum {
    ACKNOWLEDGE = 1,
    DRIVER = 2,
    DRIVER_OK = 4,
    FEATURES_OK = 8,
    NEEDS_RESET = 64,
    FAILED = 128
};
enum { RUNNING = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK };
enum { USED = 1, CONFIG = 2 };
#define ALL UINT64_MAX

/* What a case runs with. */
struct life_setting {
    const struct device_type *type;
    enum vrig_transport transport;
};

struct life {
    const struct device_type *type;
    struct vrig rig;
    uint64_t data; /* gpa for the next request's buffers */
};

/* state: the setting, as life_main passes it. */
struct life *life_open(void **state);
void life_close(struct life *t);
/* A new device takes the old one's place; the driver does not notice. */
void life_replace(struct life *t);

/* The driver's start with all features and queues, in memory used before. */
void life_start(struct life *t);
uint32_t life_status(struct life *t);
struct vdriver_queue *life_queue(struct life *t); /* for requests */
/* Adds a request without publishing it; and: a request, and its answer. */
uint16_t life_add(struct life *t);
void life_ask(struct life *t);
/* The interrupt line has so many pulses, now or a little later. */
void life_await_pulses(struct life *t, unsigned pulses);

/* As after a reset. */
void life_expect_new(struct life *t);
/* It failed once, said so, is dead, and comes back to life by a reset. */
void life_expect_failure(struct life *t, const char *what);

/* Every case for every type over every transport from `first` on; what main returns. */
int life_main(const struct CMUnitTest *cases, size_t count, enum vrig_transport first);
#define LIFE(name)                    \
    {                                 \
#name, name, NULL, NULL, NULL \
    }

#endif
