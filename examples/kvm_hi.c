/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The smallest use of KVM there is, without the library: 1 MiB of memory, one vCPU in
 * real mode, and six instructions that write "Hi" to the first serial port and halt.
 * What src/hv/kvm does, on one page.
 *
 *     kvm_hi          prints "Hi" and "Guest halted"
 *     kvm_hi FILE     runs the machine code in FILE instead
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_BYTES = 1 << 20, SERIAL_PORT = 0x3f8 };

static const uint8_t hi[] = {
    0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
    0xb0, 'H',        /* mov al, 'H'   */
    0xee,             /* out dx, al    */
    0xb0, 'i',        /* mov al, 'i'   */
    0xee,             /* out dx, al    */
    0xf4,             /* hlt           */
};

static int failed(const char *what)
{
    perror(what);
    return 1;
}

static int load(uint8_t *memory, const char *path)
{
    if (!path) {
        memcpy(memory, hi, sizeof hi);
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, memory, MEMORY_BYTES) < 0)
        return failed(path);
    (void)close(fd);
    return 0;
}

/* Real mode, and execution begins at address 0. */
static int reset(int vcpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = 0, .rflags = 2};
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        return failed("KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
        return failed("KVM_SET_SREGS");
    if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        return failed("KVM_SET_REGS");
    return 0;
}

static int run(int vcpu, struct kvm_run *state)
{
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0)
            return failed("KVM_RUN");
        if (state->exit_reason == KVM_EXIT_IO && state->io.port == SERIAL_PORT &&
            state->io.direction == KVM_EXIT_IO_OUT && state->io.size == 1) {
            const char *text = (const char *)state + state->io.data_offset;
            (void)fwrite(text, 1, state->io.count, stdout);
        } else if (state->exit_reason == KVM_EXIT_HLT) {
            printf("\nGuest halted\n");
            return 0;
        } else {
            printf("\nUnexpected exit: reason %u\n", state->exit_reason);
            return 1;
        }
    }
}

int main(int argc, char **argv)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        return failed("/dev/kvm");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        return failed("KVM_CREATE_VM");

    uint8_t *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return failed("memory");
    if (load(memory, argc > 1 ? argv[1] : NULL))
        return 1;
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY_BYTES,
                                                 .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return failed("KVM_SET_USER_MEMORY_REGION");

    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (vcpu < 0)
        return failed("KVM_CREATE_VCPU");
    int bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof(struct kvm_run))
        return failed("KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *state =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (state == MAP_FAILED)
        return failed("vCPU");
    return reset(vcpu) ? 1 : run(vcpu, state);
}
