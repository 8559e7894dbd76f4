/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a guest tells of itself, unasked (proto/agent.md, "The report"): a connection to
 * MICROVM_AGENT_PORT of the host says that it is ready, and the last frame on it how
 * its main command ended. The bytes wait in a socket's buffer until the machine is at
 * its end; a guest that says more than fits there only stops its own connection.
 */
#include "machine/machine.h"

#include "proto/agent.h"

enum { REPORT_BYTES = 512 };

void mv_report_arrived(struct microvm *vm)
{
    uv_mutex_lock(&vm->lock);
    bool before = vm->ready;
    microvm_event event = {.type = MICROVM_EVENT_READY, .state = (int32_t)vm->state};
    vm->ready = true;
    uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
    if (!before)
        mv_events_push(&vm->events, event);
}

int mv_machine_wait_ready(struct microvm *vm, int64_t timeout_ms, microvm_error *err)
{
    uint64_t since_ns = uv_hrtime();
    int rc = 0;
    if (!vm->reports)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "wait_ready: this machine has no socket device by which the "
                       "guest could say it; set vsock to cid=3, for example");
    uv_mutex_lock(&vm->lock);
    while (!vm->ready && !rc) {
        if (mv_machine_is_over(vm))
            rc = mv_fail(err, MICROVM_E_NOT_RUNNING,
                         "the machine has ended before the guest was ready: %s",
                         vm->exit.message);
        else if (!mv_machine_sleep(vm, timeout_ms, since_ns))
            rc = mv_fail(err, MICROVM_E_TIMEOUT,
                         "the guest has not said in %lld ms that it is ready",
                         (long long)timeout_ms);
    }
    uv_mutex_unlock(&vm->lock);
    return rc;
}

/* The code of the last frame, if it is an exit. */
static int report_read(const uint8_t *bytes, size_t length)
{
    struct agent_frame frame;
    int code = -1;
    int32_t n;
    while ((n = agent_frame_read(&frame, bytes, length)) > 0) {
        if (frame.type == AGENT_EXIT && agent_strings_valid(frame.data, frame.length))
            code =
                (int)agent_strings_number(frame.data, frame.length, "code", -1, 0, 255);
        bytes += n;
        length -= (size_t)n;
    }
    return code;
}

int mv_report_code(struct microvm *vm)
{
    uint8_t bytes[REPORT_BYTES];
    intptr_t socket;
    int code = -1;
    while (vm->reports && vm->ops->accept(vm, MICROVM_AGENT_PORT, &socket, NULL) > 0) {
        int64_t n = mv_socket_read(socket, bytes, sizeof bytes);
        if (n > 0 && code < 0)
            code = report_read(bytes, (size_t)n);
        mv_socket_close(socket);
    }
    return code;
}
