/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The settings of a machine, as plain data. Every setting has one row in
 * config_keys.def: its name, type, limits, default and help make the setter checks, the
 * JSON keys, the command line's flags and docs/config.md.
 */
#ifndef MV_CORE_CONFIG_H
#define MV_CORE_CONFIG_H

#include "util/err.h"
#include "util/limit.h"

#include <stdbool.h>

enum {
    MV_DISKS_MAX = 8,
    MV_NETS_MAX = 4,
    MV_CPUS_MAX = 64,
    MV_ID_MAX = 20,     /* bytes of a device's id: virtio 1.2, 5.2.6, of a disk's */
    MV_DISK_NAME = 4,   /* "vda" */
    MV_LIMITS_MAX = 24, /* one for each device, and general ones */
    MV_LIMIT_TEXT = 160
};

struct mv_disk_config {
    char *path;
    char *id; /* NULL: vda, vdb, ... */
    bool read_only, direct;
};

enum mv_net_kind {
    MV_NET_USER,       /* through the helper process microvm-netd */
    MV_NET_TAP,        /* where: name of the interface */
    MV_NET_UNIXSTREAM, /* where: path of the socket */
    MV_NET_UNIXGRAM,   /* where: path of the socket */
    MV_NET_FD,         /* fd */
    MV_NET_CALLBACK    /* the application sends and receives frames */
};

/* A setting that is a list of texts. */
enum { MV_LIST_MAX = 64 };
struct mv_config_list {
    char *text[MV_LIST_MAX];
    unsigned count;
};

/* What only the user network wants to know. */
struct mv_net_user_config {
    const char *program;                         /* NULL: microvm-netd is looked for */
    const struct mv_config_list *forward, *rule; /* forward NULL: another device's */
};

struct mv_net_config {
    int kind;    /* enum mv_net_kind */
    char *where; /* NULL for a kind that has no place */
    char *id;    /* NULL: net0, net1, ... */
    intptr_t fd; /* borrowed: duplicated when it is opened */
    bool has_mac;
    uint8_t mac[6];
    uint16_t mtu;                          /* 0: the backing's */
    bool restricted, no_ipv6, no_host;     /* MV_NET_USER */
    const struct mv_net_user_config *user; /* MV_NET_USER, while it is opened */
};

/* Whom a rate limit is for. */
/* What disk 0 is: /dev/vda like the others; the root file system that the kernel
 * mounts; an image that microvm-init enters, read-only with memory above it. */
enum mv_root { MV_ROOT_NONE, MV_ROOT_DISK, MV_ROOT_IMAGE };

enum mv_limit_kind { MV_LIMIT_DISK, MV_LIMIT_NET };
struct mv_limit_target {
    int kind;               /* enum mv_limit_kind */
    char id[MV_ID_MAX + 1]; /* "": all of them */
};

struct mv_limit_config {
    struct mv_limit_target target;
    struct mv_limit_rates rates;
};

struct mv_vsock_config {
    bool on;
    uint32_t cid; /* the guest's address */
    char *uds;    /* path of the UNIX socket; NULL: none */
};

enum mv_console_kind { MV_CONSOLE_SERIAL, MV_CONSOLE_VIRTIO, MV_CONSOLE_NONE };
enum mv_acpi_mode { MV_ACPI_AUTO, MV_ACPI_ON, MV_ACPI_OFF };
enum mv_transport { MV_TRANSPORT_AUTO, MV_TRANSPORT_MMIO, MV_TRANSPORT_PCI };
enum mv_boot_mode { MV_BOOT_AUTO, MV_BOOT_LINUX, MV_BOOT_PVH };
enum mv_interrupts { MV_INTERRUPTS_AUTO, MV_INTERRUPTS_FULL, MV_INTERRUPTS_SPLIT };

struct mv_config {
    char *name;
    char *kernel, *initrd, *cmdline; /* NULL: not given */
    char *hostname;                  /* of the guest; NULL: its own affair */
    bool cmdline_only;               /* cmdline as it is, nothing of ours */
    uint64_t memory_bytes;           /* whole MiB */
    bool memory_shared;              /* RAM as a mapping that can be shared */
    uint32_t cpus;
    struct mv_disk_config disk[MV_DISKS_MAX];
    unsigned disks;
    struct mv_net_config net[MV_NETS_MAX];
    unsigned nets;
    bool no_net; /* net=none was said, which is more than that there are none */
    struct mv_config_list publish, egress; /* of the user network */
    char *netd;                            /* its program; NULL: looked for */
    struct mv_limit_config limit[MV_LIMITS_MAX];
    unsigned limits;
    int root;       /* enum mv_root */
    int console;    /* enum mv_console_kind */
    int acpi;       /* enum mv_acpi_mode */
    int transport;  /* enum mv_transport: of virtio devices */
    int boot;       /* enum mv_boot_mode: how an ELF kernel is entered */
    int interrupts; /* enum mv_interrupts: a test setting */
    bool rng, balloon;
    struct mv_vsock_config vsock;
    struct mv_config_list socks;    /* servers at the vsock device, */
    struct mv_config_list outbound; /* and rules of what leaves through it */
    uint64_t timeout_ms;            /* 0: no limit */

    struct mv_log_target {
        microvm_log_fn *fn;
        void *user;
        int level;
    } log;
    microvm_error first_error; /* sticky; code 0: none */
};

/* A public configuration is this struct. */
struct microvm_config {
    struct mv_config values;
};

void mv_config_init(struct mv_config *config);
void mv_config_done(struct mv_config *config);
/* Deep copy into an uninitialised struct. */
int mv_config_copy(struct mv_config *to, const struct mv_config *from,
                   microvm_error *err);
/* One key from its text form; NULL puts the default back. Records the first error. */
void mv_config_set(struct mv_config *config, const char *key, const char *text);
/* The same for keys that are numbers: COUNT, SIZE in bytes, DURATION in milliseconds.
 */
void mv_config_set_number(struct mv_config *config, const char *key, uint64_t value);
int mv_config_add_disk(struct mv_config *config, const struct microvm_disk *disk);
/* The vsock device, instead of an earlier one. */
int mv_config_set_vsock(struct mv_config *config, const struct microvm_vsock *vsock);
/* What the guest calls a disk: "vda" is disk 0. */
const char *mv_config_disk_name(unsigned index, char out[MV_DISK_NAME]);
/* What a network device is called: its id, else by its place, "net0". */
const char *mv_config_net_name(const char *id, unsigned index, char out[MV_ID_MAX + 1]);
/* That no disk has another one's name for its id. */
int mv_config_check_disks(const struct mv_config *config, microvm_error *err);
/* Takes the last disk away again. */
void mv_config_drop_disk(struct mv_config *config);
/* The disk that is /dev/vda and the root file system, instead of an earlier root. */
int mv_config_set_rootfs(struct mv_config *config, const struct microvm_disk *disk);
int mv_config_add_net(struct mv_config *config, const struct microvm_net *net);
/* Takes the last network device away again. */
void mv_config_drop_net(struct mv_config *config);
/* "disk", "disk=ID", "net", "net=ID". */
int mv_limit_target_read(struct mv_limit_target *out, const char *text,
                         microvm_error *err);
/* Target and rates from the text form of the setting `limit`. config_limit.c */
int mv_limit_read(struct mv_limit_config *out, const char *text, microvm_error *err);
/* A device of this kind, with its id and what the guest calls it; NULL: only an id. */
bool mv_limit_target_is(const struct mv_limit_target *target, int kind, const char *id,
                        const char *name);
/* What the setter checks, for rates that come by another way. */
int mv_limit_rates_check(const struct mv_limit_rates *rates, microvm_error *err);
/* The rates set for the device; false: it has no limit. */
bool mv_config_limit_of(const struct mv_config *config, int kind, const char *id,
                        const char *name, struct mv_limit_rates *out);

/* Everything that concerns more than one key (a kernel must be given, the memory must
 * hold it is for later). Returns the sticky error first. */
int mv_config_check(const struct mv_config *config, microvm_error *err);

/* Sets every key of a JSON object. `source` names the text in messages (a path; NULL:
 * none). The error sticks too. */
int mv_config_load_json(struct mv_config *config, const char *source, const char *text,
                        size_t length, microvm_error *err);
/* Indented JSON, to be freed; NULL: no memory. */
char *mv_config_to_json(const struct mv_config *config, bool with_defaults);

#endif
