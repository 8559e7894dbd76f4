/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is KVM's alone: reasons why it cannot be used, file descriptors that run out at
 * every step of making a machine, and the signals of the application around a vCPU.
 */
#include "guests.h"

#include "os/thread.h"
#include "util/bytes.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mini_subject subject;

/* ---- reasons ---- */

/* Runs fn in a child process, whose exit status is the number of its complaints. */
static void in_child(void (*fn)(void))
{
    int status = -1;
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void want(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "in the child: %s\n", what);
    _exit(1);
}

/* probe and vm_open must both say these words, and how to help it. */
static void want_unusable(const char *words)
{
    const struct mv_hv_config config = {.cpus = 1, .rung = MV_RUNG_FULL};
    struct mv_hv_vm *vm = NULL;
    struct mv_hv_caps caps;
    microvm_error err = {.code = 0};
    subject.hv->probe(&caps);
    (void)printf("%s; %s\n", caps.reason, caps.fix);
    (void)fflush(stdout);
    want(!caps.usable, "usable");
    want(strstr(caps.reason, words) != NULL, caps.reason);
    want(caps.fix[0] != 0, "no fix");
    want(subject.hv->vm_open(&config, &vm, &err) == MICROVM_E_NO_HYPERVISOR, "opened");
    want(strstr(err.message, words) != NULL, err.message);
    want(vm == NULL, "output touched");
}

static void without_device(void)
{
    want(chroot("/proc") == 0, "chroot");
    want_unusable("/dev/kvm does not exist");
}

static void without_permission(void)
{
    want(setgid(65534) == 0 && setuid(65534) == 0, "setuid");
    want_unusable("no permission");
}

static void without_signals(void)
{
    const struct rlimit one = {1, 1};
    const struct mv_hv_config config = {.cpus = 2, .rung = MV_RUNG_FULL};
    struct mv_hv_vm *vm;
    struct mv_hv_vcpu *vcpu = NULL;
    microvm_error err = {.code = 0};
    want(setrlimit(RLIMIT_SIGPENDING, &one) == 0, "setrlimit");
    want(subject.hv->vm_open(&config, &vm, &err) == 0, err.message);
    want(subject.hv->vm_setup(vm, &err) == 0, err.message);
    want(subject.hv->vcpu_open(vm, 0, &vcpu, &err) == MICROVM_E_HYPERVISOR, "opened");
    want(strstr(err.message, "RLIMIT_SIGPENDING is 1") != NULL, err.message);
    want(vcpu == NULL, "output touched");
    subject.hv->vm_close(vm);
}

static void without_descriptors(void)
{
    const struct rlimit none = {0, 0};
    want(setrlimit(RLIMIT_NOFILE, &none) == 0, "setrlimit");
    want_unusable("too many open files");
}

static void need_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("skipped: only root can hide /dev/kvm from itself\n");
    skip();
}

static void a_missing_device_has_a_reason_and_a_fix(void **state)
{
    (void)state;
    need_root();
    in_child(without_device);
}

static void a_forbidden_device_has_a_reason_and_a_fix(void **state)
{
    (void)state;
    need_root();
    in_child(without_permission);
}

static void a_lack_of_descriptors_has_a_reason_and_a_fix(void **state)
{
    (void)state;
    in_child(without_descriptors);
}

static void a_lack_of_signals_is_refused(void **state)
{
    (void)state;
    in_child(without_signals);
}

/* ---- descriptors ---- */

static unsigned count_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

/* As far as descriptors last. */
static int make_and_free(microvm_error *err)
{
    static const struct mv_hv_up up = {.pio_read = NULL};
    const struct mv_hv_config config = {1, subject.rung, &up, NULL};
    const struct mv_hv_ops *hv = subject.hv;
    struct mv_hv_vm *vm = NULL;
    struct mv_hv_vcpu *vcpu = NULL;
    int rc = hv->vm_open(&config, &vm, err);
    if (!rc)
        rc = hv->vm_setup(vm, err);
    if (!rc)
        rc = hv->vcpu_open(vm, 0, &vcpu, err);
    hv->vcpu_close(vcpu);
    hv->vm_close(vm);
    return rc;
}

static void every_step_survives_a_lack_of_descriptors(void **state)
{
    struct rlimit before, limit;
    unsigned fds = count_fds(), failures = 0;
    microvm_error err;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    int rc = -1;
    for (limit.rlim_cur = 0; rc && limit.rlim_cur < fds + 16; limit.rlim_cur++) {
        err = (microvm_error){.code = 0};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        rc = make_and_free(&err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        failures += rc != 0;
        assert_int_equal(rc, err.code);
        assert_true(rc == 0 || err.message[0]);
        assert_int_equal(count_fds(), fds);
    }
    assert_int_equal(rc, 0);
    assert_true(failures >= 3); /* /dev/kvm, the VM, the vCPU */
}

/* ---- signals ---- */

static void the_thread_gets_its_signal_mask_back(void **state)
{
    struct mini mini;
    sigset_t before, after;
    (void)state;
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
    mini_open(&mini, subject, 1, &guest_of_spin);
    mini.hv->vcpu_kick(mini.vcpu); /* never served: must not be delivered later */
    mini_close(&mini);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    for (int i = 1; i < NSIG; i++)
        assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

struct spinner {
    struct mini mini;
    atomic_uint ready, served, kicked;
};

static void spinner_run(void *arg)
{
    struct spinner *s = arg;
    microvm_error err;
    mini_open(&s->mini, subject, 1, &guest_of_spin);
    atomic_store(&s->ready, 1);
    if (mini_run(&s->mini, &err) == MV_HV_KICKED)
        atomic_store(&s->served, 1);
    while (!atomic_load(&s->kicked)) /* the kicker is still at the vCPU */
        uv_sleep(1);
    mini_close(&s->mini);
}

/* glibc makes every thread of the process take part in setgid(), by a signal that no
 * thread may block: not even inside KVM_RUN. */
static void setgid_of_the_application_does_not_hang(void **state)
{
    struct spinner s = {.ready = 0};
    uv_thread_t thread;
    (void)state;
    assert_int_equal(mv_thread_start(&thread, spinner_run, &s), 0);
    assert_true(mini_wait(&s.ready, 1));
    assert_true(mini_wait(&s.mini.said, 1));
    (void)alarm(20); /* a hang ends the test program */
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(setgid(getgid()), 0);
    (void)alarm(0);
    assert_int_equal(atomic_load(&s.served), 0); /* that was no kick */
    s.mini.hv->vcpu_kick(s.mini.vcpu);
    atomic_store(&s.kicked, 1);
    (void)uv_thread_join(&thread);
    assert_int_equal(atomic_load(&s.served), 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_device_has_a_reason_and_a_fix),
        cmocka_unit_test(a_forbidden_device_has_a_reason_and_a_fix),
        cmocka_unit_test(a_lack_of_descriptors_has_a_reason_and_a_fix),
        cmocka_unit_test(a_lack_of_signals_is_refused),
        cmocka_unit_test(every_step_survives_a_lack_of_descriptors),
        cmocka_unit_test(the_thread_gets_its_signal_mask_back),
        cmocka_unit_test(setgid_of_the_application_does_not_hang),
    };
    subject = mini_subject(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
