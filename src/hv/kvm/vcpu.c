/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Running a vCPU, and stopping it from outside.
 *
 * How a kick works. It must end a KVM_RUN that is under way, and it must not be lost
 * when it comes a moment before the thread enters KVM_RUN. No signal handler can do the
 * second without tricks, and no handler is ours to install in somebody's application.
 * So the kick is a signal that is never delivered:
 *
 *   - the vCPU's thread has the kick signal blocked, always;
 *   - KVM_SET_SIGNAL_MASK unblocks it inside KVM_RUN, and only there;
 *   - so a kick makes the current KVM_RUN return EINTR, or stays pending and makes the
 *     next one return EINTR before it enters the guest. The kernel closes the gap;
 *   - on return it is blocked again, still pending, and sigtimedwait takes it away.
 *
 * `kicked` says that a kick is on its way, so that a thousand kicks are one signal. The
 * order is what makes it right: a kick sets the flag and, if it was clear, sends the
 * signal; the run takes the signal, then clears the flag, then returns KICKED. A kick
 * that finds the flag set comes before that clearing, so before the return, which
 * therefore serves it. A kick that finds it clear sends a signal that nobody has taken.
 * (Clearing first and taking second would throw away the signal of a kick in between.)
 * A signal that arrives when the flag is clear again, because the kicker was slow
 * between its two steps, costs one empty turn.
 *
 * The mask given to KVM is the thread's own without the kick signal, and not all
 * signals but one: glibc keeps two signals for itself unblocked in every thread, and
 * setuid() of the application would wait for ever for a vCPU that blocks them.
 *
 * After EINTR no access is half done. KVM completes what the last exit left to do (a
 * read whose value we have supplied) at the next entry, before it looks for signals;
 * and we return KICKED only after an entry that ended with EINTR.
 */
#include "hv/kvm/kvm.h"

#include "util/assert.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { KERNEL_SIGSET_BYTES = 8 };

/* struct kvm_signal_mask and the array that follows it. */
struct vcpu_signal_mask {
    struct kvm_signal_mask head;
    uint8_t bytes[KERNEL_SIGSET_BYTES];
};

/* A real-time signal, as far from where applications begin to count as possible;
 * valgrind has the last one. */
static int vcpu_signal(void)
{
    return SIGRTMAX - 1;
}

static void vcpu_signal_set(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, vcpu_signal());
}

/* Takes a pending kick signal of this thread away; false if there is none. */
static bool vcpu_signal_take(void)
{
    const struct timespec at_once = {0, 0};
    sigset_t set;
    vcpu_signal_set(&set);
    return sigtimedwait(&set, NULL, &at_once) > 0;
}

/* A real-time signal can be refused, when the user's queue of them is full. Ours are
 * one per vCPU; with room for fewer, a kick would wait for ever. */
static int vcpu_check_queue(const struct mv_hv_vm *vm, microvm_error *err)
{
    struct rlimit queue;
    if (getrlimit(RLIMIT_SIGPENDING, &queue) == 0 && queue.rlim_cur < vm->config.cpus)
        return mv_fail(err, MICROVM_E_HYPERVISOR,
                       "RLIMIT_SIGPENDING is %llu: too few signals to stop %u vCPUs "
                       "with; raise it ('ulimit -i')",
                       (unsigned long long)queue.rlim_cur, vm->config.cpus);
    return 0;
}

static int vcpu_mask_signals(struct mv_hv_vcpu *vcpu, microvm_error *err)
{
    struct vcpu_signal_mask mask = {.head = {.len = KERNEL_SIGSET_BYTES}};
    sigset_t set;
    vcpu_signal_set(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, &vcpu->before);
    set = vcpu->before;
    (void)sigdelset(&set, vcpu_signal());
    /* A libc's sigset_t begins with the kernel's. */
    memcpy((uint8_t *)&mask + sizeof mask.head, &set, KERNEL_SIGSET_BYTES);
    if (mv_kvm_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask) < 0)
        return mv_kvm_fail(err, "KVM_SET_SIGNAL_MASK");
    return 0;
}

/* What KVM supports, asked once per VM. */
static int vcpu_supported(struct mv_hv_vm *vm, struct mv_kvm_cpuid *out,
                          microvm_error *err)
{
    int rc = 0;
    (void)pthread_mutex_lock(&vm->lock);
    if (vm->cpuid.head.nent == 0) {
        vm->cpuid.head.nent = MV_KVM_CPUID_MAX;
        if (mv_kvm_ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &vm->cpuid) < 0) {
            rc = mv_kvm_fail(err, "KVM_GET_SUPPORTED_CPUID");
            vm->cpuid.head.nent = 0;
        }
    }
    *out = vm->cpuid;
    (void)pthread_mutex_unlock(&vm->lock);
    return rc;
}

static int vcpu_identify(struct mv_hv_vcpu *vcpu, microvm_error *err)
{
    struct mv_hv_vm *vm = vcpu->vm;
    struct mv_kvm_cpuid cpuid;
    int rc = vcpu_supported(vm, &cpuid, err);
    if (rc)
        return rc;
    bool tsc_deadline = mv_kvm_ioctl_number(vm->fd, KVM_CHECK_EXTENSION,
                                            KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    mv_kvm_cpuid_shape(&cpuid, vcpu->index, vm->config.cpus, tsc_deadline);
    if (mv_kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, &cpuid) < 0)
        return mv_kvm_fail(err, "KVM_SET_CPUID2");
    return 0;
}

int mv_kvm_vcpu_open(struct mv_hv_vm *vm, unsigned index, struct mv_hv_vcpu **out,
                     microvm_error *err)
{
    MV_ASSERT(index < vm->config.cpus);
    struct mv_hv_vcpu *vcpu = calloc(1, sizeof *vcpu);
    if (!vcpu)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a vCPU");
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->thread = pthread_self();
    vcpu->run = MAP_FAILED;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &vcpu->before);
    int rc = 0;
    vcpu->fd = mv_kvm_ioctl_number(vm->fd, KVM_CREATE_VCPU, index);
    if (vcpu->fd < 0) {
        rc = mv_kvm_fail(err, "KVM_CREATE_VCPU %u", index);
        goto fail;
    }
    vcpu->run =
        mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) {
        rc = mv_kvm_fail(err, "mapping vCPU %u", index);
        goto fail;
    }
    mv_kvm_gather_map(vm, vcpu->fd);
    rc = vcpu_check_queue(vm, err);
    if (!rc)
        rc = vcpu_mask_signals(vcpu, err);
    if (!rc)
        rc = vcpu_identify(vcpu, err);
    if (rc)
        goto fail;
    mv_kvm_msr_reset(vcpu->fd);
    atomic_store(&vm->vcpu_fd[index], vcpu->fd);
    *out = vcpu;
    return 0;
fail:
    mv_kvm_vcpu_close(vcpu);
    return rc;
}

void mv_kvm_vcpu_close(struct mv_hv_vcpu *vcpu)
{
    if (!vcpu)
        return;
    atomic_store(&vcpu->vm->vcpu_fd[vcpu->index], -1);
    while (vcpu_signal_take()) /* or it would be delivered when it is unblocked */
        ;
    (void)pthread_sigmask(SIG_SETMASK, &vcpu->before, NULL);
    if (vcpu->run != MAP_FAILED)
        (void)munmap(vcpu->run, vcpu->vm->run_bytes);
    if (vcpu->fd >= 0)
        (void)close(vcpu->fd);
    free(vcpu);
}

/* KVM_RUN failed. True when the run is over, with *exit. */
static bool vcpu_run_failed(struct mv_hv_vcpu *vcpu, int code, enum mv_hv_exit *exit,
                            microvm_error *why)
{
    switch (code) {
    case EINTR:
        (void)vcpu_signal_take();
        if (!atomic_exchange(&vcpu->kicked, false))
            return false; /* a debugger, setuid(), or a late signal */
        mv_hv_count(&vcpu->counts.kicks);
        *exit = MV_HV_KICKED;
        return true;
    case EAGAIN: /* a waiting vCPU has got its INIT or SIPI */
        return false;
    default:
        errno = code;
        (void)mv_kvm_fail(why, "KVM_RUN");
        *exit = MV_HV_FAILED;
        return true;
    }
}

/* KVM_RUN returned with an exit. True when the run is over, with *exit. */
static bool vcpu_run_exit(struct mv_hv_vcpu *vcpu, enum mv_hv_exit *exit,
                          microvm_error *why)
{
    const struct mv_hv_config *config = &vcpu->vm->config;
    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_IO:
        mv_hv_count(&vcpu->counts.pio);
        mv_kvm_exit_io(vcpu);
        return false;
    case KVM_EXIT_MMIO:
        mv_hv_count(&vcpu->counts.mmio);
        mv_kvm_exit_mmio(vcpu);
        return false;
    case KVM_EXIT_IOAPIC_EOI:
        config->up->eoi(config->up_ctx, vcpu->run->eoi.vector);
        return false;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return false;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        vcpu->run->msr.error = 1; /* #GP, as for any register that is not there */
        return false;
    case KVM_EXIT_HLT:
        *exit = MV_HV_HALT;
        return true;
    case KVM_EXIT_SHUTDOWN:
        *exit = MV_HV_SHUTDOWN;
        return true;
    case KVM_EXIT_SYSTEM_EVENT:
        *exit = mv_kvm_exit_event(vcpu, why);
        return true;
    default:
        *exit = mv_kvm_exit_failed(vcpu, why);
        return true;
    }
}

enum mv_hv_exit mv_kvm_vcpu_run(struct mv_hv_vcpu *vcpu, microvm_error *why)
{
    enum mv_hv_exit exit = MV_HV_FAILED;
    bool over;
    do {
        int rc = ioctl(vcpu->fd, KVM_RUN, 0);
        int code = errno;
        mv_hv_count(&vcpu->counts.entries);
        mv_kvm_pio_flush(vcpu->vm);
        over = rc < 0 ? vcpu_run_failed(vcpu, code, &exit, why)
                      : vcpu_run_exit(vcpu, &exit, why);
    } while (!over);
    return exit;
}

void mv_kvm_vcpu_kick(struct mv_hv_vcpu *vcpu)
{
    if (atomic_exchange(&vcpu->kicked, true))
        return;
    /* EAGAIN: other processes of this user have filled the queue of real-time signals
     * (RLIMIT_SIGPENDING). */
    while (pthread_kill(vcpu->thread, vcpu_signal()) == EAGAIN)
        (void)sched_yield();
}

const struct mv_hv_counts *mv_kvm_vcpu_counts(const struct mv_hv_vcpu *vcpu)
{
    return &vcpu->counts;
}
