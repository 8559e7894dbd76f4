/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Is there a KVM that we can use? Every answer that is no comes with a reason and with
 * what the user can do about it, because this is where most first attempts end.
 *
 * probe makes a VM for a moment: only then does a computer whose virtualization
 * extensions are switched off or taken by another hypervisor say so.
 */
#include "hv/kvm/kvm.h"

#include "util/bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int probe_fail(struct mv_hv_caps *caps, int code, int *os_code,
                      const char *reason, const char *fix)
{
    (void)snprintf(caps->reason, sizeof caps->reason, "%s", reason);
    (void)snprintf(caps->fix, sizeof caps->fix, "%s", fix);
    *os_code = code;
    return -1;
}

static int probe_no_descriptors(struct mv_hv_caps *caps, int code, int *os_code)
{
    return probe_fail(caps, code, os_code, "too many open files for one more VM",
                      "raise the limit ('ulimit -n')");
}

static int probe_no_device(struct mv_hv_caps *caps, int code, int *os_code)
{
    char reason[sizeof caps->reason];
    switch (code) {
    case ENOENT:
        return probe_fail(caps, code, os_code,
                          "/dev/kvm does not exist: KVM is not loaded, or the "
                          "processor's virtualization is off",
                          "enable VT-x or AMD-V in the firmware, then 'modprobe "
                          "kvm_intel' or 'modprobe kvm_amd'; in a container add "
                          "'--device /dev/kvm'; in a VM enable nested virtualization");
    case EACCES:
    case EPERM:
        return probe_fail(caps, code, os_code, "no permission to open /dev/kvm",
                          "add the user to group kvm ('sudo usermod -aG kvm $USER') "
                          "and log in again; in a container add '--device /dev/kvm'");
    case ENODEV:
    case ENXIO:
        return probe_fail(caps, code, os_code,
                          "/dev/kvm exists, but no driver stands behind it",
                          "'modprobe kvm_intel' or 'modprobe kvm_amd'; 'dmesg | grep "
                          "kvm' tells why one refused to load");
    case EMFILE:
    case ENFILE:
        return probe_no_descriptors(caps, code, os_code);
    default:
        (void)snprintf(reason, sizeof reason, "/dev/kvm cannot be opened (errno %d)",
                       code);
        return probe_fail(caps, code, os_code, reason, "");
    }
}

/* Everything that the backend uses without asking. All of it came with Linux 2.6.39 or
 * earlier, except the signal for one MSI (3.5). */
static const struct {
    unsigned long number;
    const char *name;
} probe_needs[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
};

static int probe_has_all(int fd, struct mv_hv_caps *caps, int *os_code)
{
    char reason[sizeof caps->reason];
    int version = mv_kvm_ioctl_number(fd, KVM_GET_API_VERSION, 0);
    if (version != MV_KVM_API_VERSION) {
        (void)snprintf(reason, sizeof reason,
                       "/dev/kvm speaks version %d of its interface, not %d", version,
                       MV_KVM_API_VERSION);
        return probe_fail(caps, 0, os_code, reason,
                          "use a Linux kernel of this decade");
    }
    for (size_t i = 0; i < MV_ARRAY_LEN(probe_needs); i++) {
        if (mv_kvm_ioctl_number(fd, KVM_CHECK_EXTENSION, probe_needs[i].number) > 0)
            continue;
        (void)snprintf(reason, sizeof reason, "this KVM has no %s",
                       probe_needs[i].name);
        return probe_fail(caps, 0, os_code, reason,
                          "use a newer Linux kernel, or one built with the whole of "
                          "KVM");
    }
    return 0;
}

int mv_kvm_open(struct mv_hv_caps *caps, int *os_code)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return probe_no_device(caps, errno, os_code);
    if (probe_has_all(fd, caps, os_code)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int mv_kvm_create(int kvm_fd, struct mv_hv_caps *caps, int *os_code)
{
    char reason[sizeof caps->reason];
    int fd = mv_kvm_ioctl_number(kvm_fd, KVM_CREATE_VM, 0);
    if (fd >= 0)
        return fd;
    int code = errno;
    switch (code) {
    case EBUSY:
        return probe_fail(caps, code, os_code,
                          "another hypervisor uses the processor's virtualization",
                          "stop it (VirtualBox and VMware do not share with KVM)");
    case EOPNOTSUPP:
    case EIO:
        return probe_fail(caps, code, os_code,
                          "KVM cannot switch the processor's virtualization on",
                          "enable VT-x or AMD-V in the firmware; in a VM enable nested "
                          "virtualization of the outer hypervisor");
    case EMFILE:
    case ENFILE:
        return probe_no_descriptors(caps, code, os_code);
    case ENOMEM:
        return probe_fail(caps, code, os_code, "the kernel has no memory for a VM",
                          "end something else, or raise the memory limit of this "
                          "cgroup");
    default:
        (void)snprintf(reason, sizeof reason, "KVM_CREATE_VM failed (errno %d)", code);
        return probe_fail(caps, code, os_code, reason, "'dmesg | tail' may tell more");
    }
}

void mv_kvm_probe(struct mv_hv_caps *caps)
{
    int os_code;
    *caps = (struct mv_hv_caps){.usable = false};
    int kvm = mv_kvm_open(caps, &os_code);
    if (kvm < 0)
        return;
    int cpus = mv_kvm_ioctl_number(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    if (cpus <= 0) /* Documentation/virt/kvm/api.rst, 4.7: then it is the older one */
        cpus = mv_kvm_ioctl_number(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS);
    bool split =
        mv_kvm_ioctl_number(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) > 0;
    int vm = mv_kvm_create(kvm, caps, &os_code);
    (void)close(kvm);
    if (vm < 0)
        return;
    (void)close(vm);
    caps->usable = true;
    caps->cpus_max = cpus <= 0 ? 1 : MV_MIN((unsigned)cpus, MV_KVM_CPUS_MAX);
    caps->rungs = 1u << MV_RUNG_FULL | (split ? 1u << MV_RUNG_LOCAL : 0);
    caps->bells = true;
    (void)snprintf(caps->detail, sizeof caps->detail,
                   "API version %d, interrupt controllers in the kernel%s, irqfd, "
                   "ioeventfd",
                   MV_KVM_API_VERSION, split ? " or split" : "");
    if (!split)
        (void)snprintf(caps->reason, sizeof caps->reason,
                       "no split interrupt controller (Linux 4.5 or newer has it)");
}
