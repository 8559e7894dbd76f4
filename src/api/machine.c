/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine API, function by function: arguments are checked softly here, then the
 * machine does the work.
 */
#include "machine/machine.h"
#include "api/agent.h"

#include "util/bytes.h"

enum { ASK_MS = 2000 }; /* for an agent to answer */

static int no_machine(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_INVALID, "the machine is NULL");
}

unsigned microvm_probe(microvm_backend *out, unsigned capacity)
{
    return mv_hv_machine_probe(out, capacity);
}

/* What is tried in vain on the way to a machine, a backend or a kind of interrupt
 * controller, is no error of a machine that has been made. */
microvm *microvm_new(const microvm_config *config, microvm_error *err)
{
    microvm_error failure;
    if (!config) {
        (void)mv_fail(err, MICROVM_E_INVALID, "the configuration is NULL");
        return NULL;
    }
    if (mv_config_check(&config->values, err))
        return NULL;
    microvm *vm = mv_hv_machine_new(&config->values, NULL, &failure);
    if (!vm)
        (void)mv_fail_again(err, &failure);
    return vm;
}

static void close_kind(void *arg)
{
    microvm *vm = arg;
    vm->ops->close(vm);
}

void microvm_free(microvm *vm)
{
    if (!vm)
        return;
    void (*free_kind)(struct microvm *) = vm->ops->free;
    (void)mv_machine_kill(vm, MICROVM_EXIT_KILLED, NULL);
    mv_loop_run(&vm->loop, close_kind, vm);
    mv_machine_close(vm);
    free_kind(vm);
}

int microvm_begin(microvm *vm, int operation, microvm_error *err)
{
    return vm ? mv_machine_begin(vm, operation, NULL, err) : no_machine(err);
}

static int run_operation(microvm *vm, int operation, int64_t timeout_ms,
                         microvm_error *err)
{
    unsigned ticket;
    if (!vm)
        return no_machine(err);
    int rc = mv_machine_begin(vm, operation, &ticket, err);
    return rc ? rc : mv_machine_await(vm, operation, ticket, timeout_ms, err);
}

int microvm_start(microvm *vm, microvm_error *err)
{
    return run_operation(vm, MICROVM_OP_START, MICROVM_FOREVER, err);
}

int microvm_pause(microvm *vm, microvm_error *err)
{
    return run_operation(vm, MICROVM_OP_PAUSE, MICROVM_FOREVER, err);
}

int microvm_resume(microvm *vm, microvm_error *err)
{
    return run_operation(vm, MICROVM_OP_RESUME, MICROVM_FOREVER, err);
}

/* The agent, where there is one and it is the guest's first process. */
static bool ask_agent(microvm *vm, int64_t timeout_ms)
{
    int64_t answer_ms = timeout_ms < 0 || timeout_ms > ASK_MS ? ASK_MS : timeout_ms;
    intptr_t agent;
    return microvm_get_state(vm) == MICROVM_RUNNING &&
           microvm_connect(vm, MICROVM_AGENT_PORT, 0, &agent, NULL) == 0 &&
           microvm_agent_ask(agent, "shutdown", NULL, answer_ms, NULL, NULL) == 0;
}

/* The button is pressed all the same: it is the operation, and does no harm. */
int microvm_shutdown(microvm *vm, int64_t timeout_ms, microvm_error *err)
{
    microvm_error failure;
    uint64_t began_ms = mv_socket_now_ms();
    unsigned ticket;
    bool asked = vm && timeout_ms != 0 && ask_agent(vm, timeout_ms);
    if (!vm)
        return no_machine(err);
    int rc = mv_machine_begin(vm, MICROVM_OP_SHUTDOWN, &ticket, &failure);
    int64_t left_ms = mv_socket_left_ms(timeout_ms, began_ms);
    if (rc == 0)
        rc = mv_machine_await(vm, MICROVM_OP_SHUTDOWN, ticket, left_ms, &failure);
    else if (asked && (rc == MICROVM_E_UNSUPPORTED || rc == MICROVM_E_NOT_RUNNING))
        rc = mv_machine_wait(vm, left_ms, NULL, &failure); /* no button, or off */
    if (rc == MICROVM_E_TIMEOUT) /* of all that was waited for */
        return mv_fail(err, rc, "shutdown: not done after %lld ms",
                       (long long)timeout_ms);
    return rc ? mv_fail_again(err, &failure) : 0;
}

int microvm_kill(microvm *vm, microvm_error *err)
{
    return vm ? mv_machine_kill(vm, MICROVM_EXIT_KILLED, err) : no_machine(err);
}

int microvm_wait(microvm *vm, int64_t timeout_ms, microvm_exit *out, microvm_error *err)
{
    return vm ? mv_machine_wait(vm, timeout_ms, out, err) : no_machine(err);
}

int microvm_wait_ready(microvm *vm, int64_t timeout_ms, microvm_error *err)
{
    return vm ? mv_machine_wait_ready(vm, timeout_ms, err) : no_machine(err);
}

microvm_state microvm_get_state(microvm *vm)
{
    if (!vm)
        return MICROVM_FAILED;
    uv_mutex_lock(&vm->lock);
    microvm_state state = vm->state;
    uv_mutex_unlock(&vm->lock);
    return state;
}

struct attach {
    microvm *vm;
    const microvm_disk *disk;
    microvm_error *err;
    int rc;
};

static void attach_disk(void *arg)
{
    struct attach *a = arg;
    a->rc = a->vm->ops->attach_disk
                ? a->vm->ops->attach_disk(a->vm, a->disk, a->err)
                : mv_fail(a->err, MICROVM_E_UNSUPPORTED,
                          "disk: machines of kind %s cannot", a->vm->ops->kind);
}

int microvm_attach_disk(microvm *vm, const microvm_disk *disk, microvm_error *err)
{
    struct attach attach = {vm, disk, err, 0};
    if (!vm)
        return no_machine(err);
    if (!disk)
        return mv_fail(err, MICROVM_E_INVALID, "the disk is NULL");
    mv_loop_run(&vm->loop, attach_disk, &attach);
    return attach.rc;
}

struct balloon {
    microvm *vm;
    uint32_t mib;
    microvm_error *err;
    int rc;
};

static void set_balloon(void *arg)
{
    struct balloon *b = arg;
    b->rc = b->vm->ops->set_balloon
                ? b->vm->ops->set_balloon(b->vm, b->mib, b->err)
                : mv_fail(b->err, MICROVM_E_UNSUPPORTED,
                          "balloon: machines of kind %s cannot", b->vm->ops->kind);
}

int microvm_set_balloon_mb(microvm *vm, uint32_t mib, microvm_error *err)
{
    struct balloon balloon = {vm, mib, err, 0};
    if (!vm)
        return no_machine(err);
    mv_loop_run(&vm->loop, set_balloon, &balloon);
    return balloon.rc;
}

struct limits {
    microvm *vm;
    const struct mv_limit_config *limit;
    unsigned count;
    microvm_error *err;
    int rc;
};

/* All are looked at before one of them is set. */
static void set_limits(void *arg)
{
    struct limits *l = arg;
    const struct mv_machine_ops *ops = l->vm->ops;
    l->rc = ops->set_limit ? 0
                           : mv_fail(l->err, MICROVM_E_UNSUPPORTED,
                                     "limit: machines of kind %s cannot", ops->kind);
    for (unsigned i = 0; i < l->count && !l->rc; i++)
        l->rc = ops->set_limit(l->vm, &l->limit[i].target, NULL, l->err);
    for (unsigned i = 0; i < l->count && !l->rc; i++)
        l->rc = ops->set_limit(l->vm, &l->limit[i].target, &l->limit[i].rates, l->err);
}

int microvm_set_limit(microvm *vm, const char *device, const microvm_limit *limit,
                      microvm_error *err)
{
    if (!vm)
        return no_machine(err);
    if (!device || !limit || limit->size < sizeof *limit)
        return mv_fail(err, MICROVM_E_INVALID,
                       "limit: device or limit is NULL, or its size field is not set; "
                       "use MICROVM_LIMIT_INIT");
    struct mv_limit_config made = {
        .rates = {limit->bytes_per_s, limit->ops_per_s, limit->burst_ms}};
    int rc = mv_limit_target_read(&made.target, device, err);
    if (!rc)
        rc = mv_limit_rates_check(&made.rates, err);
    if (rc)
        return rc;
    struct limits l = {.vm = vm, .limit = &made, .count = 1, .err = err};
    mv_loop_run(&vm->loop, set_limits, &l);
    return l.rc;
}

int microvm_set_limits_text(microvm *vm, const char *const *text, unsigned count,
                            microvm_error *err)
{
    struct mv_limit_config made[MV_LIMITS_MAX];
    if (!vm)
        return no_machine(err);
    if (count > MV_LIMITS_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "limit: there are at most %d",
                       MV_LIMITS_MAX);
    for (unsigned i = 0; i < count; i++) {
        int rc = text && text[i]
                     ? mv_limit_read(&made[i], text[i], err)
                     : mv_fail(err, MICROVM_E_INVALID, "limit: the text is NULL");
        if (rc)
            return rc;
    }
    struct limits l = {.vm = vm, .limit = made, .count = count, .err = err};
    mv_loop_run(&vm->loop, set_limits, &l);
    return l.rc;
}

int microvm_set_limit_text(microvm *vm, const char *text, microvm_error *err)
{
    return microvm_set_limits_text(vm, &text, 1, err);
}

intptr_t microvm_event_handle(microvm *vm)
{
    return vm ? vm->events.notify.handle : -1;
}

int microvm_next_event(microvm *vm, microvm_event *event)
{
    return vm && event ? mv_events_take(&vm->events, event) : 0;
}
