/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the socket device's tests share: a device with a driver and all its buffers, and
 * the steps that cases are made of. Each step checks what it can.
 */
#ifndef TESTS_DEVICE_VSOCK_H
#define TESTS_DEVICE_VSOCK_H

#include "check.h"
#include "vsockrig.h"

enum { GUEST_PORT = 5001, TO_PORT = VSOCK_LISTENS, BUF = 256 << 10 };
#define STREAM    MICROVM_SOCKET_STREAM
#define SEQPACKET MICROVM_SOCKET_SEQPACKET

/* Every case over every transport; what main returns. */
enum { VSOCK_CASES_MAX = 32 };
int vsock_main(const struct CMUnitTest *cases, size_t count);
int vsock_setup(void **state);
int vsock_teardown(void **state);
#define VSOCK(name) cmocka_unit_test_setup_teardown(name, vsock_setup, vsock_teardown)

/* The streams' byte at each position. */
void fill(uint8_t *to, size_t from, size_t length);
void check_stream(const uint8_t *data, size_t from, size_t length);

/* The next packet for the guest, which must be this operation; and: there is none. */
struct mv_vsock_header expect(struct vsockrig *v, uint16_t op, uint8_t *data);
void expect_nothing(struct vsockrig *v);

/* Packets of the guest, from its port to TO_PORT. */
void say(struct vsockrig *v, uint16_t op, uint32_t guest_port, uint32_t flags);
void say_data(struct vsockrig *v, uint32_t guest_port, const void *data,
              uint32_t length);

int64_t host_read(intptr_t end, void *data, size_t length);
/* The end of file. */
void expect_end(intptr_t end);

#endif
