/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * create KERNEL [ROUNDS]: what making and freeing a machine costs beside the system
 * calls that it must make: VM, memory slot, interrupt controllers. Both sides in one
 * process, in turn, so that the machine's drift hits both alike. Prints the medians in
 * microseconds and their ratio.
 *
 * A vCPU is made by its own thread at the start, on both sides not counted.
 */
#include "microvm/microvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 1000, RAM_BYTES = 256 << 20 };

static double now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    perror(what);
    exit(1);
}

static double bare(void)
{
    double start = now_us();
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    must(kvm, "/dev/kvm");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    must(vm, "KVM_CREATE_VM");
    must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
    void *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(ram == MAP_FAILED ? -1 : 0, "mmap");
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES,
                                               .userspace_addr = (uintptr_t)ram};
    must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
    must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    slot.memory_size = 0; /* or KVM's end of the VM takes three times as long */
    must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
    (void)munmap(ram, RAM_BYTES);
    (void)close(vm);
    (void)close(kvm);
    return now_us() - start;
}

static double ours(const microvm_config *config)
{
    microvm_error err;
    double start = now_us();
    microvm *vm = microvm_new(config, &err);
    if (!vm) {
        (void)fprintf(stderr, "create: %s\n", err.message);
        exit(1);
    }
    microvm_free(vm);
    return now_us() - start;
}

int main(int argc, char **argv)
{
    static double bare_us[ROUNDS_MAX], ours_us[ROUNDS_MAX];
    int rounds = argc > 2 ? atoi(argv[2]) : 50;
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr, "usage: create KERNEL [ROUNDS up to %d]\n", ROUNDS_MAX);
        return 2;
    }
    microvm_config *config = microvm_config_new();
    microvm_config_set_kernel(config, argv[1]);
    microvm_config_set_memory_mb(config, RAM_BYTES >> 20);
    (void)bare();
    (void)ours(config);
    for (int i = 0; i < rounds; i++) {
        bare_us[i] = bare();
        ours_us[i] = ours(config);
    }
    double b = median(bare_us, rounds), o = median(ours_us, rounds);
    (void)printf("{\"bare_us\": %.0f, \"ours_us\": %.0f, \"ratio\": %.2f}\n", b, o,
                 o / b);
    microvm_config_free(config);
    return 0;
}
