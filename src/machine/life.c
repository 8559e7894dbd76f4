/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a machine: which operation is allowed in which state, who waits for what,
 * and what is told to the application. Nothing here knows how a machine works.
 */
#include "machine/machine.h"

#include "os/error.h"
#include "util/assert.h"
#include "util/bytes.h"

#include <stdio.h>

bool mv_machine_is_over(const struct microvm *vm)
{
    return vm->state == MICROVM_STOPPED || vm->state == MICROVM_FAILED;
}

/* Copies with truncation; both are sized for the eye, not for parsing. */
static void life_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%.*s", (int)size - 1, from);
}

static void life_enter(struct microvm *vm, microvm_state state, const char *message)
{
    microvm_event event = {.type = MICROVM_EVENT_STATE, .state = (int32_t)state};
    if (vm->state == state)
        return;
    vm->state = state;
    life_text(event.message, sizeof event.message, message);
    mv_events_push(&vm->events, event);
}

/* With the lock held. */
static void life_finish(struct microvm *vm, int operation, const microvm_error *result)
{
    struct mv_operation *op = &vm->op[operation];
    if (!op->pending)
        return;
    op->pending = false;
    op->done = op->begun;
    op->result = *result;
    if (!op->announce)
        return;
    microvm_event event = {.type = MICROVM_EVENT_DONE,
                           .state = (int32_t)vm->state,
                           .operation = operation,
                           .code = result->code};
    life_text(event.message, sizeof event.message, result->message);
    mv_events_push(&vm->events, event);
}

void mv_machine_done(struct microvm *vm, int operation, microvm_state state,
                     const microvm_error *result)
{
    uv_mutex_lock(&vm->lock);
    if (result->code == 0)
        life_enter(vm, state, "");
    life_finish(vm, operation, result);
    uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
}

/* `reported` is what the guest has said of its main command; -1: nothing. */
static int exit_code(int reason, int reported)
{
    switch ((microvm_exit_reason)reason) {
    case MICROVM_EXIT_NONE:
        return 0;
    case MICROVM_EXIT_POWER_OFF:
    case MICROVM_EXIT_RESET:
        return reported < 0 ? 0 : reported;
    case MICROVM_EXIT_PANIC:
    case MICROVM_EXIT_CRASH:
        return 1;
    case MICROVM_EXIT_TIME_LIMIT:
        return 124;
    case MICROVM_EXIT_FAILED:
        return 125;
    case MICROVM_EXIT_KILLED:
        return 137;
    }
    return 125;
}

/* What an operation that was under way is told when the machine ends. */
static microvm_error ended_result(int operation, int reason, const microvm_error *why)
{
    microvm_error result = {.code = 0};
    if (operation == MICROVM_OP_SHUTDOWN && reason == MICROVM_EXIT_POWER_OFF)
        return result;
    if (operation == MICROVM_OP_START && reason == MICROVM_EXIT_FAILED)
        return *why;
    (void)mv_fail(&result, MICROVM_E_NOT_RUNNING, "the machine ended: %s",
                  why->message);
    return result;
}

void mv_machine_ended(struct microvm *vm, int reason, const microvm_error *why)
{
    if (vm->limit_open)
        (void)uv_timer_stop(&vm->limit);
    int reported = mv_report_code(vm);
    uv_mutex_lock(&vm->lock);
    MV_ASSERT(!mv_machine_is_over(vm));
    vm->ended_ns = uv_hrtime();
    vm->exit.reason = reason;
    vm->exit.code = exit_code(reason, reported);
    life_text(vm->exit.message, sizeof vm->exit.message, why->message);
    life_enter(vm, reason == MICROVM_EXIT_FAILED ? MICROVM_FAILED : MICROVM_STOPPED,
               why->message);
    for (int i = 1; i < MV_OPERATIONS; i++) {
        microvm_error result = ended_result(i, reason, why);
        life_finish(vm, i, &result);
    }
    uv_cond_broadcast(&vm->changed);
    uv_mutex_unlock(&vm->lock);
}

static const char *operation_name(int operation)
{
    static const char *const name[MV_OPERATIONS] = {"", "start", "pause", "resume",
                                                    "shutdown"};
    return name[operation];
}

/* Which state an operation wants; with the lock held. */
static int life_allows(const struct microvm *vm, int operation, microvm_error *err)
{
    static const microvm_state wanted[MV_OPERATIONS] = {
        0, MICROVM_CREATED, MICROVM_RUNNING, MICROVM_PAUSED, MICROVM_RUNNING};
    if (vm->op[operation].pending)
        return mv_fail(err, MICROVM_E_STATE, "%s: it is under way already",
                       operation_name(operation));
    if (vm->state == wanted[operation])
        return 0;
    bool running = vm->state == MICROVM_RUNNING || vm->state == MICROVM_PAUSED ||
                   vm->state == MICROVM_BOOTING;
    int code = operation == MICROVM_OP_START || running ? MICROVM_E_STATE
                                                        : MICROVM_E_NOT_RUNNING;
    return mv_fail(err, code, "%s: the machine is %s, not %s",
                   operation_name(operation), microvm_state_name((int)vm->state),
                   microvm_state_name((int)wanted[operation]));
}

static void limit_over(uv_timer_t *timer)
{
    struct microvm *vm = timer->data;
    vm->ops->end(vm, MICROVM_EXIT_TIME_LIMIT);
}

static int life_start(struct microvm *vm, microvm_error *err)
{
    uv_mutex_lock(&vm->lock);
    vm->started_ns = uv_hrtime();
    life_enter(vm, MICROVM_BOOTING, "");
    uv_mutex_unlock(&vm->lock);
    if (vm->config.timeout_ms)
        (void)uv_timer_start(&vm->limit, limit_over, vm->config.timeout_ms, 0);
    return vm->ops->start(vm, err);
}

static int life_call(struct microvm *vm, int operation, microvm_error *err)
{
    int (*fn)(struct microvm *, microvm_error *) = NULL;
    switch ((microvm_operation)operation) {
    case MICROVM_OP_START:
        return life_start(vm, err);
    case MICROVM_OP_PAUSE:
        fn = vm->ops->pause;
        break;
    case MICROVM_OP_RESUME:
        fn = vm->ops->resume;
        break;
    case MICROVM_OP_SHUTDOWN:
        fn = vm->ops->shutdown;
        break;
    }
    if (!fn)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "%s: machines of kind %s cannot",
                       operation_name(operation), vm->ops->kind);
    return fn(vm, err);
}

struct begin {
    struct microvm *vm;
    int operation;
    unsigned *ticket;
    microvm_error *err;
    int rc;
};

/* On the loop, so that checking the state and acting on it are one step. */
static void life_begin(void *arg)
{
    struct begin *b = arg;
    struct microvm *vm = b->vm;
    struct mv_operation *op = &vm->op[b->operation];
    microvm_error result = {.code = 0};
    uv_mutex_lock(&vm->lock);
    b->rc = life_allows(vm, b->operation, b->err);
    if (!b->rc) {
        op->pending = true;
        op->announce = !b->ticket;
        op->begun++;
        if (b->ticket)
            *b->ticket = op->begun;
    }
    uv_mutex_unlock(&vm->lock);
    if (b->rc || !life_call(vm, b->operation, &result))
        return;
    if (b->operation == MICROVM_OP_START) {
        mv_machine_ended(vm, MICROVM_EXIT_FAILED, &result);
        return;
    }
    uv_mutex_lock(&vm->lock);
    op->pending = false; /* it never began, so there is no end to tell */
    op->done = op->begun;
    uv_mutex_unlock(&vm->lock);
    b->rc = mv_fail_again(b->err, &result);
}

int mv_machine_begin(struct microvm *vm, int operation, unsigned *ticket,
                     microvm_error *err)
{
    struct begin begin = {vm, operation, ticket, err, 0};
    if (operation < 1 || operation >= MV_OPERATIONS)
        return mv_fail(err, MICROVM_E_INVALID, "operation %d does not exist",
                       operation);
    mv_loop_run(&vm->loop, life_begin, &begin);
    return begin.rc;
}

bool mv_machine_sleep(struct microvm *vm, int64_t timeout_ms, uint64_t since_ns)
{
    if (timeout_ms < 0) {
        uv_cond_wait(&vm->changed, &vm->lock);
        return true;
    }
    uint64_t limit_ns = (uint64_t)MV_MIN(timeout_ms, INT32_MAX * 1000ll) * 1000000;
    uint64_t passed_ns = uv_hrtime() - since_ns;
    if (passed_ns >= limit_ns)
        return false;
    (void)uv_cond_timedwait(&vm->changed, &vm->lock, limit_ns - passed_ns);
    return true;
}

int mv_machine_await(struct microvm *vm, int operation, unsigned ticket,
                     int64_t timeout_ms, microvm_error *err)
{
    struct mv_operation *op = &vm->op[operation];
    uint64_t since_ns = uv_hrtime();
    int rc = 0;
    uv_mutex_lock(&vm->lock);
    while ((int)(op->done - ticket) < 0 && !rc) {
        if (!mv_machine_sleep(vm, timeout_ms, since_ns))
            rc = mv_fail(err, MICROVM_E_TIMEOUT, "%s: not done after %lld ms",
                         operation_name(operation), (long long)timeout_ms);
    }
    if (rc) /* it goes on; a later call may begin it again */
        op->pending = false;
    else if (op->result.code)
        rc = mv_fail_again(err, &op->result);
    uv_mutex_unlock(&vm->lock);
    return rc;
}

int mv_machine_wait(struct microvm *vm, int64_t timeout_ms, microvm_exit *out,
                    microvm_error *err)
{
    uint64_t since_ns = uv_hrtime();
    int rc = 0;
    uv_mutex_lock(&vm->lock);
    while (!mv_machine_is_over(vm) && !rc) {
        if (!mv_machine_sleep(vm, timeout_ms, since_ns))
            rc = mv_fail(err, MICROVM_E_TIMEOUT, "wait: the machine is still %s",
                         microvm_state_name((int)vm->state));
    }
    if (!rc && out) {
        uint32_t size = out->size;
        memcpy(out, &vm->exit, MV_MIN(size, sizeof vm->exit));
        out->size = size;
    }
    uv_mutex_unlock(&vm->lock);
    return rc;
}

struct end {
    struct microvm *vm;
    int reason;
};

static void life_end(void *arg)
{
    struct end *end = arg;
    if (!mv_machine_is_over(end->vm))
        end->vm->ops->end(end->vm, end->reason);
}

int mv_machine_kill(struct microvm *vm, int reason, microvm_error *err)
{
    struct end end = {vm, reason};
    mv_loop_run(&vm->loop, life_end, &end);
    return mv_machine_wait(vm, MICROVM_FOREVER, NULL, err);
}

static int life_sync_open(struct microvm *vm, microvm_error *err)
{
    int rc = uv_mutex_init(&vm->lock);
    if (rc)
        return mv_fail_uv(err, rc, "machine");
    rc = uv_cond_init(&vm->changed);
    if (rc) {
        uv_mutex_destroy(&vm->lock);
        return mv_fail_uv(err, rc, "machine");
    }
    return 0;
}

int mv_machine_open(struct microvm *vm, const struct mv_machine_ops *ops,
                    const struct mv_config *config, microvm_error *err)
{
    vm->ops = ops;
    vm->created_ns = uv_hrtime();
    vm->exit = (microvm_exit)MICROVM_EXIT_INIT;
    vm->log = (struct mv_log){config->log.fn, config->log.user, config->log.level};
    int rc = mv_config_copy(&vm->config, config, err);
    if (rc)
        return rc;
    if ((rc = life_sync_open(vm, err)))
        goto fail_config;
    if ((rc = mv_events_open(&vm->events, err)))
        goto fail_sync;
    if ((rc = mv_loop_open(&vm->loop, err)))
        goto fail_events;
    (void)uv_timer_init(&vm->loop.uv, &vm->limit); /* cannot fail */
    vm->limit.data = vm;
    vm->limit_open = true;
    return 0;

fail_events:
    mv_events_close(&vm->events);
fail_sync:
    uv_cond_destroy(&vm->changed);
    uv_mutex_destroy(&vm->lock);
fail_config:
    mv_config_done(&vm->config);
    return rc;
}

static void limit_close(void *arg)
{
    struct microvm *vm = arg;
    uv_close((uv_handle_t *)&vm->limit, NULL);
    vm->limit_open = false;
}

void mv_machine_close(struct microvm *vm)
{
    mv_loop_run(&vm->loop, limit_close, vm);
    mv_loop_close(&vm->loop);
    mv_events_close(&vm->events);
    uv_cond_destroy(&vm->changed);
    uv_mutex_destroy(&vm->lock);
    mv_config_done(&vm->config);
}
