/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libmicrovm, the machine API: start and drive small hardware-isolated virtual machines
 * from inside an application, the same on every operating system.
 *
 * The life of a machine:
 *
 *     microvm_config *config = microvm_config_new();
 *     microvm_config_set(config, "kernel", "vmlinuz");
 *     microvm *vm = microvm_new(config, &err);         Created: nothing runs yet
 *     microvm_start(vm, &err);                         Booting, then Running
 *     microvm_wait(vm, MICROVM_FOREVER, &end, &err);   Stopped or Failed
 *     microvm_free(vm);
 *
 * Rules that hold for the whole header:
 *
 * - Errors. Functions that can fail return 0 or a negative microvm_code (constructors:
 *   NULL) and describe the failure in *err, which may be NULL. On failure no out
 *   parameter is touched, and on success *err is not.
 * - Threads. Every function may be called from any thread, several at once, except that
 *   a microvm_config belongs to one thread at a time and nothing may run beside
 *   microvm_free or microvm_config_free of the same object.
 * - Ownership. What a _new or _copy function returns is the caller's, to be given to
 *   the _free function (which accepts NULL). Strings passed in are copied.
 * - Growth. Structs that carry a `size` field are extended at their end only; set it
 *   with the initialiser macro that stands beside the struct.
 * - The process is yours: the library never exits, prints, installs signal handlers,
 *   changes directory or locale, and keeps no global state. vCPU threads are kicked
 *   with one real-time signal (SIGRTMAX-1) that stays blocked in them, so no handler
 *   runs anywhere.
 */
#ifndef MICROVM_MICROVM_H
#define MICROVM_MICROVM_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(MICROVM_SHARED)
#ifdef MICROVM_BUILDING
#define MICROVM_API __declspec(dllexport)
#else
#define MICROVM_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define MICROVM_API __attribute__((visibility("default")))
#else
#define MICROVM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MICROVM_VERSION_MAJOR 0
#define MICROVM_VERSION_MINOR 1
#define MICROVM_VERSION_PATCH 0

/* The version of the library that is linked, as "0.1.0". Static storage. */
MICROVM_API const char *microvm_version(void);

/* ---- errors ---------------------------------------------------------------------- */

typedef enum microvm_code {
    MICROVM_OK = 0,
    MICROVM_E_INVALID =
        -1, /* a setting or an argument is wrong; the message names it */
    MICROVM_E_NO_HYPERVISOR =
        -2,                     /* none usable here; the message says what to enable */
    MICROVM_E_HYPERVISOR = -3,  /* the hypervisor refused; os_code says with what */
    MICROVM_E_KERNEL = -4,      /* the file is no kernel that can be started */
    MICROVM_E_MEMORY = -5,      /* the memory size cannot be given to a machine */
    MICROVM_E_NOT_RUNNING = -6, /* needs a machine that runs or is paused */
    MICROVM_E_DEVICE = -7,      /* a device could not be made or has failed */
    MICROVM_E_IO = -8,      /* the operating system refused; os_code says with what */
    MICROVM_E_TIMEOUT = -9, /* the time given to a blocking call is over */
    MICROVM_E_UNSUPPORTED = -10, /* this build, kind of machine or host cannot do it */
    MICROVM_E_NO_MEMORY = -11,   /* the host has no memory for it */
    MICROVM_E_STATE = -12,       /* not in this state of the machine's life */
    MICROVM_E_CANCELLED = -13    /* the caller's own callback said to stop */
} microvm_code;

/*
 * What went wrong, a plain value of 256 bytes. os_code is errno, hv_return_t or an
 * HRESULT, 0 where no system call was involved. message is one UTF-8 sentence without
 * a line end, cut to fit, always terminated.
 */
typedef struct microvm_error {
    int32_t code;
    int32_t os_code;
    char message[248];
} microvm_error;

/* The name of a code, such as "invalid kernel"; never NULL. Static storage. */
MICROVM_API const char *microvm_code_name(int code);

/* ---- what this computer can do --------------------------------------------------- */

enum {
    MICROVM_FEATURE_PAUSE = 1u << 0,
    MICROVM_FEATURE_SHUTDOWN = 1u << 1, /* the guest can be asked to power off */
    MICROVM_FEATURE_SMP = 1u << 2,
    MICROVM_FEATURE_IRQ_SPLIT = 1u << 3 /* interrupts=split works (a test setting) */
};

/* One hypervisor backend of this build, as found on this computer now. */
typedef struct microvm_backend {
    uint32_t size;
    char name[16];     /* "kvm" */
    uint32_t usable;   /* 0 or 1 */
    uint32_t features; /* MICROVM_FEATURE_*, 0 when not usable */
    uint32_t cpus_max; /* vCPUs of one machine */
    char detail[200];  /* what was found: "API version 12, ..." */
    char reason[200];  /* why it is not usable, or has limits; "" when all is well */
    char fix[200];     /* what the user can do about it; "" when nothing */
} microvm_backend;

/*
 * Looks at this computer: fills up to `capacity` entries of `out` (each with `size` set
 * by the caller) and returns how many backends this build knows; 0 means "no hypervisor
 * backend in this build". Never fails, takes milliseconds, leaves nothing open.
 */
MICROVM_API unsigned microvm_probe(microvm_backend *out, unsigned capacity);

/* ---- configuration --------------------------------------------------------------- */

typedef struct microvm_config microvm_config;

/* Defaults in every setting. NULL only when the host has no memory. */
MICROVM_API microvm_config *microvm_config_new(void);
MICROVM_API microvm_config *microvm_config_copy(const microvm_config *config);
MICROVM_API void microvm_config_free(microvm_config *config);

/*
 * Sets one key from its text form, the same text that the command line takes after
 * --key ("256M", "disk.img,ro", "5m"). Repeatable keys (disk, limit) add, others
 * replace; NULL puts the default back. '-' and '_' are one letter in keys. Errors are
 * sticky: the first one is kept, later calls change nothing, and microvm_new reports
 * it. No setter minds a NULL configuration.
 */
MICROVM_API void microvm_config_set(microvm_config *config, const char *key,
                                    const char *text);

/* The common settings, typed. Same stickiness. */
MICROVM_API void microvm_config_set_kernel(microvm_config *config, const char *path);
MICROVM_API void microvm_config_set_initrd(microvm_config *config, const char *path);
MICROVM_API void microvm_config_set_rootfs(microvm_config *config, const char *path);
MICROVM_API void microvm_config_set_cmdline(microvm_config *config, const char *text);
MICROVM_API void microvm_config_set_memory_mb(microvm_config *config, uint32_t mib);
MICROVM_API void microvm_config_set_vcpus(microvm_config *config, uint32_t count);
MICROVM_API void microvm_config_set_timeout_ms(microvm_config *config, uint64_t ms);

/* A disk of the machine: /dev/vda, /dev/vdb, ... in the order of being added. */
typedef struct microvm_disk {
    uint32_t size;
    const char *path;   /* raw image file or block device */
    uint32_t read_only; /* 1: the guest sees a read-only disk */
    uint32_t direct;    /* 1: past the host's page cache (O_DIRECT) */
    const char *id;     /* serial number the guest reads, up to 20 bytes; NULL: "vda" */
} microvm_disk;
#define MICROVM_DISK_INIT                      \
    {                                          \
        sizeof(microvm_disk), NULL, 0, 0, NULL \
    }

MICROVM_API void microvm_config_add_disk(microvm_config *config,
                                         const microvm_disk *disk);

/* The guest's socket device: connections between its ports and this process. */
typedef struct microvm_vsock {
    uint32_t size;
    uint32_t cid;    /* the guest's address, 3 or more */
    const char *uds; /* UNIX socket for other programs, in Firecracker's manner: they
                        write "CONNECT PORT\n", and what the guest connects to comes
                        out at PATH_PORT, streams and SOCK_SEQPACKET each at a socket
                        of its type. NULL: none */
} microvm_vsock;
#define MICROVM_VSOCK_INIT             \
    {                                  \
        sizeof(microvm_vsock), 3, NULL \
    }

MICROVM_API void microvm_config_set_vsock(microvm_config *config,
                                          const microvm_vsock *vsock);

/*
 * A network device of the machine: eth0, eth1, ... in the order of being added. What
 * stands behind it:
 *
 *     "tap=NAME"         an interface of the host (Linux), made if there is none
 *     "unixstream=PATH"  frames with 4 bytes of length before them: passt, gvproxy,
 *                        QEMU's -netdev stream
 *     "unixgram=PATH"    a frame in each datagram
 *     "fd=N"             a descriptor of one of these kinds; it is duplicated, but a
 *                        connection that it stands for is one, and non-blocking
 *     "callback"         this application: microvm_nic_send_packet, _recv_packet
 *     "user"             the host's network, without privileges, through the program
 *                        microvm-netd; see the settings publish, egress and netd
 *     "none"             takes the devices added so far away
 */
typedef struct microvm_net {
    uint32_t size;
    const char *backing;
    uint8_t mac[6]; /* zeros: made from the names of machine, device and place, so that
                       it stays the same */
    uint16_t mtu;   /* bytes, told to the guest; 0: as the backing has it */
    const char *id; /* name of the device, up to 20 bytes; NULL: "net0", ... */
    uint32_t flags; /* MICROVM_NET_*, of "user" */
} microvm_net;
enum {
    MICROVM_NET_RESTRICT = 1, /* forwards only: the guest cannot go out */
    MICROVM_NET_NO_IPV6 = 2,
    MICROVM_NET_NO_HOST = 4 /* the gateway's address does not lead to this computer */
};
#define MICROVM_NET_INIT                           \
    {                                              \
        sizeof(microvm_net), NULL, {0}, 0, NULL, 0 \
    }

MICROVM_API void microvm_config_add_net(microvm_config *config, const microvm_net *net);

/* The first mistake made so far, or 0: what microvm_new would say about the settings.
 */
MICROVM_API int microvm_config_check(const microvm_config *config, microvm_error *err);

/*
 * Reads settings from a JSON object, over what is set already. Unknown keys are errors
 * that name the nearest valid one. The error is returned and also sticks.
 */
MICROVM_API int microvm_config_load_json(microvm_config *config, const char *text,
                                         size_t length, microvm_error *err);
/* The same from a file. Relative paths inside stay relative to the process. */
MICROVM_API int microvm_config_load_file(microvm_config *config, const char *path,
                                         microvm_error *err);
/* The same from FOLDER/config.json, a bundle: relative paths of its kernel, initial RAM
 * disk and disks are in the folder, wherever that is. */
MICROVM_API int microvm_config_load_bundle(microvm_config *config, const char *folder,
                                           microvm_error *err);
/*
 * The settings of a template (docs/images.md), a kind of machine as a file. `name` is a
 * file, where it has a '/' or ends with ".json"; else it is looked for in `folders`, a
 * list of paths that ends with NULL and of which the first that has it counts:
 * "VpnGateway" and "vpn-gateway" are vpngateway.json there. Ours are installed in
 * share/microvm/templates. Settings made afterwards win. INVALID: there is none, or it
 * says what no template says.
 */
MICROVM_API int microvm_config_load_template(microvm_config *config, const char *name,
                                             const char *const *folders,
                                             microvm_error *err);
/* The whole template as JSON, with what it begins with ("template") below it: "about",
 * "image", "machine", "recipe", of which each may be missing. The caller's, freed by
 * microvm_string_free; NULL: as above, or no memory. */
MICROVM_API char *microvm_template_read(const char *name, const char *const *folders,
                                        microvm_error *err);
/* The effective settings as JSON, indented; the caller's, freed by microvm_string_free.
 * with_defaults 0 leaves out what has its default value. NULL: no memory. */
MICROVM_API char *microvm_config_to_json(const microvm_config *config,
                                         int with_defaults);
MICROVM_API void microvm_string_free(char *text);

enum {
    MICROVM_KEY_TEXT,
    MICROVM_KEY_PATH,
    MICROVM_KEY_BOOL,
    MICROVM_KEY_COUNT,
    MICROVM_KEY_SIZE,
    MICROVM_KEY_DURATION,
    MICROVM_KEY_CHOICE,
    MICROVM_KEY_DISK,
    MICROVM_KEY_LIMIT,
    MICROVM_KEY_VSOCK,
    MICROVM_KEY_NET,
    MICROVM_KEY_LIST
};

/* One row of the table of settings, from which the command line, JSON and the
 * documentation are made. Static storage. */
typedef struct microvm_key {
    const char *name;         /* long flag: "memory-shared"; JSON: "memory_shared" */
    char short_flag;          /* 'm', or 0 */
    uint8_t type;             /* MICROVM_KEY_* */
    uint8_t repeatable;       /* 1: setting it again adds */
    const char *value;        /* what stands for the value in help texts: "SIZE"; ""
                                 when the flag alone is enough */
    const char *default_text; /* "512M"; "" when there is none */
    const char *choices;      /* "auto|on|off"; NULL unless a choice */
    const char *help;         /* one sentence */
} microvm_key;

/* Row `index` of the table, NULL past its end. */
MICROVM_API const microvm_key *microvm_config_key(unsigned index);

/* The word of the NULL-terminated list that `word` was probably meant to be, or NULL:
 * for front ends that want to say "did you mean ...". */
MICROVM_API const char *microvm_nearest(const char *word, const char *const *words);

/* ---- machines -------------------------------------------------------------------- */

typedef struct microvm microvm;

#define MICROVM_FOREVER (-1)

typedef enum microvm_state {
    MICROVM_CREATED = 0,
    MICROVM_BOOTING = 1,
    MICROVM_RUNNING = 2,
    MICROVM_PAUSED = 3,
    MICROVM_STOPPED = 4, /* "Shutdown" of the specification */
    MICROVM_FAILED = 5
} microvm_state;

/* "created", "booting", ... Static storage, never NULL. */
MICROVM_API const char *microvm_state_name(int state);

typedef enum microvm_exit_reason {
    MICROVM_EXIT_NONE = 0,
    MICROVM_EXIT_POWER_OFF = 1, /* the guest powered itself off */
    MICROVM_EXIT_RESET = 2,     /* the guest asked for a reboot; we end instead */
    MICROVM_EXIT_PANIC = 3,     /* the guest's kernel panicked and then reset */
    MICROVM_EXIT_CRASH = 4,     /* triple fault that nobody asked for */
    MICROVM_EXIT_KILLED = 5,    /* microvm_kill */
    MICROVM_EXIT_TIME_LIMIT = 6,
    MICROVM_EXIT_FAILED = 7 /* trouble on the host's side; message says which */
} microvm_exit_reason;

/* How a machine ended. */
typedef struct microvm_exit {
    uint32_t size;
    int32_t reason; /* microvm_exit_reason */
    int32_t code;   /* power off, reset: what the guest's main command ended with, if
                       it has told (see microvm_wait_ready), else 0; 1 panic, crash;
                       124 time limit; 137 killed; 125 failed */
    char message[248];
} microvm_exit;
#define MICROVM_EXIT_INIT              \
    {                                  \
        sizeof(microvm_exit), 0, 0, "" \
    }

/*
 * Makes a machine from a copy of the configuration: checks every setting, opens kernel,
 * initrd and disks, creates the hypervisor's VM, memory and devices. Nothing runs yet.
 * NULL on failure.
 */
MICROVM_API microvm *microvm_new(const microvm_config *config, microvm_error *err);

/* Kills what still runs, waits until nothing is left of it. Blocks for milliseconds. */
MICROVM_API void microvm_free(microvm *vm);

/* Attaches one more disk to a machine that has not started yet. */
MICROVM_API int microvm_attach_disk(microvm *vm, const microvm_disk *disk,
                                    microvm_error *err);

/* Gives a machine that has not started yet a socket device. */
MICROVM_API int microvm_attach_vsock(microvm *vm, const microvm_vsock *vsock,
                                     microvm_error *err);

/* Attaches one more network device to a machine that has not started yet. *out, which
 * may be NULL, is as of microvm_nic_find. */
typedef struct microvm_nic microvm_nic;
MICROVM_API int microvm_attach_net(microvm *vm, const microvm_net *net,
                                   microvm_nic **out, microvm_error *err);

/*
 * Operations, each in two forms. The blocking form returns when the machine has arrived
 * in the state it names. microvm_begin starts the same operation and returns at once;
 * its end comes as an event MICROVM_EVENT_DONE that carries the operation and its code.
 * An operation that cannot begin fails there, without an event (a start always begins).
 *
 * start     Created -> Booting -> Running (all vCPUs have entered the guest)
 * pause     Running -> Paused: no vCPU executes, all device work is finished
 * resume    Paused -> Running; the guest's clocks have gone on and are right
 * shutdown  presses the ACPI power button; is done when the guest has powered off.
 *           Needs a running machine with acpi on; UNSUPPORTED otherwise. The blocking
 *           form asks the guest's agent first, if there is one (port 1024) and time for
 *           it: such a guest goes by itself, also without acpi.
 */
typedef enum microvm_operation {
    MICROVM_OP_START = 1,
    MICROVM_OP_PAUSE = 2,
    MICROVM_OP_RESUME = 3,
    MICROVM_OP_SHUTDOWN = 4
} microvm_operation;

MICROVM_API int microvm_begin(microvm *vm, int operation, microvm_error *err);
MICROVM_API int microvm_start(microvm *vm, microvm_error *err);
MICROVM_API int microvm_pause(microvm *vm, microvm_error *err);
MICROVM_API int microvm_resume(microvm *vm, microvm_error *err);
/* TIMEOUT when the guest has not powered off after timeout_ms; it then still may. */
MICROVM_API int microvm_shutdown(microvm *vm, int64_t timeout_ms, microvm_error *err);

/* Ends the machine now, whatever it does; returns when no vCPU runs any more. The state
 * is then Stopped. On a machine that has ended already: 0, nothing happens. */
MICROVM_API int microvm_kill(microvm *vm, microvm_error *err);

/* Waits until the machine has ended. timeout_ms: milliseconds, 0 to look, or
 * MICROVM_FOREVER. *out may be NULL. TIMEOUT leaves the machine as it is. */
MICROVM_API int microvm_wait(microvm *vm, int64_t timeout_ms, microvm_exit *out,
                             microvm_error *err);

/* Waits until the guest says that it is ready: its first process, microvm-init, has set
 * the system up and its agent takes requests (proto/agent.md, "The report"). Such a
 * guest also tells what its main command ended with, in microvm_exit.code. TIMEOUT when
 * it has not said so in time; NOT_RUNNING when the machine has ended before;
 * UNSUPPORTED without a socket device. MICROVM_EVENT_READY is the same as an event. */
MICROVM_API int microvm_wait_ready(microvm *vm, int64_t timeout_ms, microvm_error *err);

MICROVM_API microvm_state microvm_get_state(microvm *vm);

/* Asks the guest to give `mib` MiB of its memory back, in all; 0 lets it have all
 * again. The guest does so in its own time: see balloon_bytes of microvm_stats.
 * UNSUPPORTED without balloon=on. */
MICROVM_API int microvm_set_balloon_mb(microvm *vm, uint32_t mib, microvm_error *err);

/* How much a device may do. */
typedef struct microvm_limit {
    uint32_t size;
    uint32_t burst_ms; /* so many ms' worth of both may be used at once after a pause:
                          10 to 3600000; 0: 100 */
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t ops_per_s;   /* 0: no limit */
} microvm_limit;
#define MICROVM_LIMIT_INIT             \
    {                                  \
        sizeof(microvm_limit), 0, 0, 0 \
    }

/* Replaces the limit of `device`, wholly and at any time: "disk" (all of them),
 * "disk=vdb" (its id or its name in the guest), "net", "net=ID". The setting `limit`
 * gives the one that a machine begins with. A disk takes it as soon as it has done what
 * it is at, which this does not wait for. */
MICROVM_API int microvm_set_limit(microvm *vm, const char *device,
                                  const microvm_limit *limit, microvm_error *err);
/* The same from the text form of the setting `limit`: "disk=vdb:10M/s,500,burst=1s";
 * "disk:0" takes a limit away. */
MICROVM_API int microvm_set_limit_text(microvm *vm, const char *text,
                                       microvm_error *err);
/* The same for up to 24 of them, in their order: all or, with an error, none. */
MICROVM_API int microvm_set_limits_text(microvm *vm, const char *const *text,
                                        unsigned count, microvm_error *err);

/* ---- network devices ------------------------------------------------------------- */

/*
 * Opens or closes a forward of the user network while the machine runs, in the form of
 * the setting publish: "8080:80", "0.0.0.0:8443:443", "5353:53/udp". INVALID with the
 * reason, such as a port that is taken; UNSUPPORTED without a user network. Blocks for
 * as long as the helper takes. Not from the log function. Where the helper is gone, one
 * is closed that was opened with these words.
 */
MICROVM_API int microvm_publish(microvm *vm, const char *forward, microvm_error *err);
MICROVM_API int microvm_unpublish(microvm *vm, const char *forward, microvm_error *err);

/* The device with this id ("net0"; NULL: the first); it belongs to the machine and goes
 * with it. */
MICROVM_API int microvm_nic_find(microvm *vm, const char *id, microvm_nic **out,
                                 microvm_error *err);

/*
 * Frames from and to the guest through a device whose backing is "callback", from any
 * thread; with any other UNSUPPORTED. A frame begins with the destination's address,
 * has no check sequence, and 14 to 65553 bytes. timeout_ms: 0 does not wait,
 * MICROVM_FOREVER waits without an end; TIMEOUT when there was no room (no frame) in
 * time, NOT_RUNNING when the machine has ended. What is sent before the guest has set
 * its device up waits for it.
 */
enum { MICROVM_FRAME_MAX = 65553 };
MICROVM_API int microvm_nic_send_packet(microvm_nic *nic, const void *frame,
                                        size_t length, int64_t timeout_ms,
                                        microvm_error *err);
/* The frame's length, or a negative code. A frame longer than `capacity` stays where it
 * is, and INVALID is returned. */
MICROVM_API int64_t microvm_nic_recv_packet(microvm_nic *nic, void *frame,
                                            size_t capacity, int64_t timeout_ms,
                                            microvm_error *err);
/* A descriptor (Windows: event HANDLE) that is readable while frames from the guest
 * wait, and from the machine's end on; -1 where the backing is another. It belongs to
 * the machine. */
MICROVM_API intptr_t microvm_nic_handle(microvm_nic *nic);

/* Pulls the cable (up 0) or plugs it in again; the guest is told. What is sent while it
 * is out is lost. */
MICROVM_API int microvm_nic_set_link(microvm_nic *nic, int up, microvm_error *err);
/* The address that the device has without the guest's doing. */
MICROVM_API void microvm_nic_get_mac(microvm_nic *nic, uint8_t mac[6]);

/*
 * Starts the helper of a user network anew, whether it has ended (MICROVM_EVENT_LINK)
 * or not: with the same policy, and with the forwards that were open. Connections that
 * the guest had are lost; the link comes up when it succeeds. UNSUPPORTED with any
 * other backing. Blocks for as long as the helper takes. Not from the log function.
 */
MICROVM_API int microvm_nic_restart(microvm_nic *nic, microvm_error *err);

/* A network device as it is now. */
typedef struct microvm_nic_info {
    uint32_t size;
    uint32_t link;    /* 1: the guest is told that its cable is plugged in */
    char id[24];      /* "net0" */
    char backing[16]; /* "user", "tap", ... */
    uint8_t mac[6];
    uint16_t mtu; /* that the guest is told; 0: none */
} microvm_nic_info;
#define MICROVM_NIC_INFO_INIT                       \
    {                                               \
        sizeof(microvm_nic_info), 0, "", "", {0}, 0 \
    }

/* The device `index` of the machine, in the order of being added; INVALID past the
 * last. */
MICROVM_API int microvm_nic_get_info(microvm *vm, unsigned index, microvm_nic_info *out,
                                     microvm_error *err);

/* ---- events ---------------------------------------------------------------------- */

typedef enum microvm_event_type {
    MICROVM_EVENT_STATE = 1,   /* state has changed */
    MICROVM_EVENT_DONE = 2,    /* an operation begun with microvm_begin has ended */
    MICROVM_EVENT_DEVICE = 3,  /* a device stopped because of the guest; message */
    MICROVM_EVENT_LOST = 4,    /* the queue was full: `count` events were dropped */
    MICROVM_EVENT_CONNECT = 5, /* microvm_connect_begin has ended: port, socket, code */
    MICROVM_EVENT_ARRIVED = 6, /* connections to `port` wait for microvm_accept */
    /* What is behind a network device has gone by itself (code: MICROVM_E_IO), or is
     * back (0), and the guest sees its cable pulled or plugged in; message. */
    MICROVM_EVENT_LINK = 7,
    MICROVM_EVENT_READY = 8 /* the guest is ready, as microvm_wait_ready has it */
} microvm_event_type;

typedef struct microvm_event {
    uint32_t size;
    uint32_t type;     /* microvm_event_type */
    uint64_t time_ns;  /* monotonic clock of the host */
    int32_t state;     /* the state after the event */
    int32_t operation; /* DONE */
    int32_t code;      /* DONE, CONNECT, LINK: 0 or a negative microvm_code */
    uint32_t count;    /* LOST */
    char message[216];
    int64_t socket; /* CONNECT */
    uint32_t port;  /* CONNECT, ARRIVED */
    uint32_t reserved;
} microvm_event;
#define MICROVM_EVENT_INIT                                   \
    {                                                        \
        sizeof(microvm_event), 0, 0, 0, 0, 0, 0, "", 0, 0, 0 \
    }

/* A descriptor (Windows: event HANDLE) that is readable while events wait; for poll()
 * in the application's own loop. It belongs to the machine. */
MICROVM_API intptr_t microvm_event_handle(microvm *vm);

/* Takes the next event: 1 got one, 0 none waits. Never blocks. */
MICROVM_API int microvm_next_event(microvm *vm, microvm_event *event);

/* ---- console --------------------------------------------------------------------- */

/*
 * The guest's console as a connected, non-blocking stream socket (Windows: SOCKET):
 * read what the guest prints, write what it shall read. At most one at a time, the
 * caller's to close. Output made while nobody has it open is dropped; open it before
 * microvm_start to have the first line. A reader that does not read slows the guest
 * down, it loses nothing (on a serial port, what its driver insists on sending is lost:
 * Linux's kernel messages after waiting 10 ms for each byte). End of file after the
 * last output of a machine that ended.
 */
MICROVM_API int microvm_console_open(microvm *vm, intptr_t *out, microvm_error *err);

/* Blocking forms on such a socket. Return bytes moved (read: 0 is end of file) or a
 * negative code, TIMEOUT when nothing moved in time. */
MICROVM_API int64_t microvm_console_read(intptr_t console, void *data, size_t length,
                                         int64_t timeout_ms, microvm_error *err);
MICROVM_API int64_t microvm_console_write(intptr_t console, const void *data,
                                          size_t length, int64_t timeout_ms,
                                          microvm_error *err);
MICROVM_API void microvm_console_close(intptr_t console);

/* Tells the guest the size of its terminal (virtio console only, else ignored). */
MICROVM_API int microvm_console_resize(microvm *vm, uint16_t columns, uint16_t rows,
                                       microvm_error *err);

/* ---- connections with the guest -------------------------------------------------- */

/*
 * Between ports of the guest (AF_VSOCK there) and this process, for machines with a
 * socket device. Each connection is a connected, non-blocking stream socket (Windows:
 * SOCKET), the caller's to use as any other and to close: shutdown() ends one direction
 * and the guest's shutdown() gives end of file here, while the other direction goes on.
 * A connection that the guest resets ends like one that it closes: what it had sent,
 * end of file, and an error for who writes. A side that does not read slows the other
 * down; nothing is lost. When the machine ends or its guest reboots, connections end.
 *
 * The functions whose names end in _type also make SOCK_SEQPACKET sockets, where the
 * host has them (Linux; elsewhere UNSUPPORTED): each send() is a message that one
 * recv() gets whole, and what its buffer does not hold is cut off. Messages have up to
 * 64 KiB either way. The guest's kernel refuses to send longer ones (Linux: EMSGSIZE),
 * and allows less, 16 KiB at worst, to a connection made while hundreds of others are
 * open. A longer one of ours, or one longer than the receiving socket's buffer in the
 * guest (Linux: 256 KiB, SO_VM_SOCKETS_BUFFER_SIZE), resets the connection. Empty
 * messages and MSG_EOR are not passed on.
 */

typedef enum microvm_socket_type {
    MICROVM_SOCKET_STREAM = 1,   /* SOCK_STREAM */
    MICROVM_SOCKET_SEQPACKET = 2 /* SOCK_SEQPACKET */
} microvm_socket_type;

/*
 * Connects to the guest's `port`. While the guest has no driver yet, or nobody there
 * listens, it is tried again until timeout_ms are over (MICROVM_FOREVER: always; 0: it
 * is tried once, and the guest has two seconds to answer). Fails with IO when the guest
 * refuses, TIMEOUT when it says nothing, NOT_RUNNING when the machine ends.
 */
MICROVM_API int microvm_connect(microvm *vm, uint32_t port, int64_t timeout_ms,
                                intptr_t *out, microvm_error *err);
/* The same without waiting: *out is the socket already, which may be written to, and
 * MICROVM_EVENT_CONNECT with that socket tells whether it is connected. If not, it
 * gives end of file, and is still the caller's to close, after the event: a later
 * socket may have the same number. An application that lets 64 events wait loses those
 * that follow (MICROVM_EVENT_LOST), this one too: end of file then tells a failure. */
MICROVM_API int microvm_connect_begin(microvm *vm, uint32_t port, int64_t timeout_ms,
                                      intptr_t *out, microvm_error *err);
/* The same with sockets of a type. UNSUPPORTED also where the guest's driver has no
 * SOCK_SEQPACKET (Linux has it since 5.14). */
MICROVM_API int microvm_connect_type(microvm *vm, microvm_socket_type type,
                                     uint32_t port, int64_t timeout_ms, intptr_t *out,
                                     microvm_error *err);
MICROVM_API int microvm_connect_begin_type(microvm *vm, microvm_socket_type type,
                                           uint32_t port, int64_t timeout_ms,
                                           intptr_t *out, microvm_error *err);

/* 1: this connection (of microvm_connect, microvm_accept) ended before the guest had
 * ended its side (it was reset, or the guest's driver or the machine has gone), or
 * before all that the guest had sent was given on. A reader
 * sees the same end of file either way; ask after it, before the socket is closed. The
 * library remembers the last two thousand connections. */
MICROVM_API int microvm_connection_was_cut(microvm *vm, intptr_t connection);

/*
 * Opens a SOCKS5 server (RFC 1928) on this computer whose connections the guest makes:
 * a program of the guest, inbound-proxy, does so on its port 7602 (proto/proxy.md). As
 * the setting socks: "1080" is 127.0.0.1:1080, "[::1]:1080", "127.0.0.1:0" any port,
 * with
 * ",user=NAME,password=TEXT" (RFC 1929), which an address that others reach must have,
 * ",port=N" for another port of the guest, and ",plain" for a proxy that sends no
 * reply. *port is the port that it listens on; NULL is allowed. The server lives until
 * it is closed or the machine ends; a guest that has no proxy yet is waited for, 5 s.
 * A client's connection is reset when it ends before the proxy has ended its direction:
 * because the target reset it, or the proxy, its tunnel, the machine or this process
 * died. With ",plain" all these are an end of file.
 */
MICROVM_API int microvm_socks_open(microvm *vm, const char *server, uint16_t *port,
                                   microvm_error *err);
/* No new connections; those that are made stay. By the address it was opened with, or
 * the port that it got. */
MICROVM_API int microvm_socks_close(microvm *vm, const char *server,
                                    microvm_error *err);

/* Listens for connections of the guest to `port` of the host (CID 2), before a UNIX
 * socket does; up to 63 ports, 1024 is the library's own (microvm_wait_ready). Up to 64
 * connections of each wait to be accepted, more are refused. */
MICROVM_API int microvm_listen(microvm *vm, uint32_t port, microvm_error *err);
/* The same for connections of one type; those of another are refused. */
MICROVM_API int microvm_listen_type(microvm *vm, microvm_socket_type type,
                                    uint32_t port, microvm_error *err);
/* No more; those that wait are closed. */
MICROVM_API int microvm_unlisten(microvm *vm, uint32_t port, microvm_error *err);
/* The next connection to a port that is listened on. TIMEOUT when none came in time (0:
 * looks, after MICROVM_EVENT_ARRIVED for example); NOT_RUNNING when none can come any
 * more. */
MICROVM_API int microvm_accept(microvm *vm, uint32_t port, int64_t timeout_ms,
                               intptr_t *out, microvm_error *err);

/* ---- commands in the guest ------------------------------------------------------- */

/*
 * Through the agent, microvm-init, which is the guest's first process or a service of
 * it and listens on port 1024 (proto/agent.md): the machine needs a socket device. A
 * process is used by one thread at a time.
 */
enum { MICROVM_AGENT_PORT = 1024 };

enum microvm_command_flags {
    MICROVM_COMMAND_INPUT = 1, /* standard input is ours; else it is empty */
    MICROVM_COMMAND_TTY = 2    /* a terminal is all three streams */
};

typedef struct microvm_command {
    uint32_t size;
    uint32_t flags;          /* microvm_command_flags */
    const char *const *argv; /* ends with NULL; looked for in the guest's PATH */
    const char *const *env;  /* "NAME=value", ends with NULL; NULL: none */
    const char *cwd;         /* NULL: / */
    const char *user;        /* "name", "uid", either with ":group"; NULL: root */
    int64_t timeout_ms;      /* the command is killed then, with status 124; 0: never */
    uint16_t columns, rows;  /* of the terminal; 0: 80, 24 */
    uint32_t reserved;
} microvm_command;
#define MICROVM_COMMAND_INIT                                           \
    {                                                                  \
        sizeof(microvm_command), 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0 \
    }

typedef struct microvm_process microvm_process;

/* Starts a command and returns when it runs or cannot: within timeout_ms
 * (MICROVM_FOREVER, or how long the guest may take to boot and answer). INVALID with
 * the agent's sentence when it cannot be run, err->os_code then 127 (there is no such
 * command) or 126; else as microvm_connect. */
MICROVM_API int microvm_exec(microvm *vm, const microvm_command *command,
                             int64_t timeout_ms, microvm_process **out,
                             microvm_error *err);
/* The same over a connection to the agent that the caller has: it is taken over, also
 * when this fails. */
MICROVM_API int microvm_exec_on(intptr_t connection, const microvm_command *command,
                                int64_t timeout_ms, microvm_process **out,
                                microvm_error *err);

/* Output: up to `size` bytes, and in *stream whose they are: 1 standard output (or the
 * terminal), 2 standard error. 0: the command has ended, and so has its output; IO: the
 * guest has gone. TIMEOUT when there was none in time; who polls the handle reads until
 * then. What is not read makes the command wait. */
MICROVM_API int64_t microvm_process_read(microvm_process *process, void *data,
                                         size_t size, int *stream, int64_t timeout_ms,
                                         microvm_error *err);
/* Input: how many bytes were taken, TIMEOUT when none in time. The guest takes 64 KiB
 * that its command does not read; its word that there is room again comes with what
 * microvm_process_read reads, so this reads nothing and does not wait for it. */
MICROVM_API int64_t microvm_process_write(microvm_process *process, const void *data,
                                          size_t length, int64_t timeout_ms,
                                          microvm_error *err);
/* How many bytes microvm_process_write would take. */
MICROVM_API size_t microvm_process_room(const microvm_process *process);
/* 1: the connection has not taken all of what was given to it. Whoever polls waits for
 * room in the handle too then, and any of these functions goes on with it. */
MICROVM_API int microvm_process_pending(const microvm_process *process);
/* The end of its input. */
MICROVM_API int microvm_process_end_input(microvm_process *process, microvm_error *err);
/* A signal by Linux's number, whatever this system is: 15 is SIGTERM. This, the size of
 * the terminal and the end of input give TIMEOUT when the guest takes nothing for 1 s.
 */
MICROVM_API int microvm_process_signal(microvm_process *process, int number,
                                       microvm_error *err);
MICROVM_API int microvm_process_resize(microvm_process *process, uint16_t columns,
                                       uint16_t rows, microvm_error *err);
/* The exit status once microvm_process_read has returned 0: the command's own, 128 + N
 * for one that signal N has ended, 124 when its time was over; -1 before. */
MICROVM_API int microvm_process_status(const microvm_process *process);
/* Waits for the end, with output left over thrown away: the status, or a negative code.
 */
MICROVM_API int microvm_process_wait(microvm_process *process, int64_t timeout_ms,
                                     microvm_error *err);
/* A descriptor (Windows: SOCKET) that is readable when microvm_process_read may have
 * something; only for poll() and its like. */
MICROVM_API intptr_t microvm_process_handle(const microvm_process *process);
/* A command that still runs is killed, with all that it has started. NULL is accepted.
 */
MICROVM_API void microvm_process_free(microvm_process *process);

/* Starts the guest's main command, once in its life: its streams are the guest's
 * console, and when it has ended the guest powers off, with its exit status as
 * microvm_exit.code. Returns when it runs; fails as microvm_exec does. No flags and no
 * timeout_ms in *command. */
MICROVM_API int microvm_main(microvm *vm, const microvm_command *command,
                             int64_t timeout_ms, microvm_error *err);
/* The same over a connection to the agent, which is taken over. */
MICROVM_API int microvm_main_on(intptr_t connection, const microvm_command *command,
                                int64_t timeout_ms, microvm_error *err);

/* Asks the agent what it answers at once: "info", "metrics", "sync", "time", "shutdown"
 * (proto/agent.md says with which strings). `strings` are "key=value" and end with
 * NULL; NULL: none. *reply, when it is not NULL, is a JSON object of strings, the
 * caller's (microvm_string_free). The connection is taken over. INVALID with the
 * agent's sentence when it cannot. */
MICROVM_API int microvm_agent_ask(intptr_t connection, const char *what,
                                  const char *const *strings, int64_t timeout_ms,
                                  char **reply, microvm_error *err);

/* ---- files of the guest ---------------------------------------------------------- */

/*
 * Copies between this computer and a guest, through the agent too: files and folders
 * with modes, times, symbolic and hard links and holes; devices, sockets and extended
 * attributes are left out. Targets are docker cp's: a folder that exists gets the
 * source inside of it (only its contents, when the source's path ends with "/."), a
 * file is replaced by a file, and anything else is made if its folder exists. Guest
 * paths begin at its root.
 *
 * Neither side trusts the other: nothing outside of the target is written to, and links
 * inside of it are not followed. A file gets its name when it is complete. What was
 * complete stays when a copy fails or is cancelled.
 */
enum microvm_copy_flags {
    MICROVM_COPY_OWNERS = 1, /* take owners, set-user-ID and set-group-ID bits over;
                                else all belongs to root in the guest, or to who calls
                                here, without these bits */
    MICROVM_COPY_FOLLOW = 2, /* a source that is a symbolic link is followed */
    MICROVM_COPY_TAR = 4     /* a tar stream, `tar`, is in the place of the path here:
                                its entries go into a guest's folder that exists, or a
                                guest's path becomes one. UNSUPPORTED in builds without
                                libarchive */
};

enum microvm_copy_news_type {
    MICROVM_COPY_PROGRESS = 1, /* some more has been copied, or time has passed */
    MICROVM_COPY_SKIPPED = 2   /* `path` was left out: it is what `why` says */
};

typedef struct microvm_copy_news {
    uint32_t size;
    uint32_t type;    /* microvm_copy_news_type */
    uint64_t bytes;   /* so far, holes included */
    uint64_t total;   /* of a single file; 0: not known */
    uint64_t entries; /* files, folders and links, so far */
    const char *path; /* bytes as the disk has them, inside of the source */
    const char *why;  /* words: "a device"; from the guest, where it is the source */
} microvm_copy_news;

/* Several times a second, from the copying thread. Anything but 0 cancels the copy. */
typedef int microvm_copy_fn(void *user, const microvm_copy_news *news);

typedef struct microvm_copy {
    uint32_t size;
    uint32_t flags;        /* microvm_copy_flags */
    int64_t timeout_ms;    /* for all of it, connecting too; or MICROVM_FOREVER */
    intptr_t tar;          /* a descriptor, the caller's */
    microvm_copy_fn *news; /* NULL: none */
    void *user;            /* for news */
} microvm_copy;
#define MICROVM_COPY_INIT                                        \
    {                                                            \
        sizeof(microvm_copy), 0, MICROVM_FOREVER, -1, NULL, NULL \
    }

/* `copy` NULL: MICROVM_COPY_INIT. INVALID with a sentence where paths do not fit or the
 * guest cannot, os_code then 1; STATE when it was cancelled; TIMEOUT; IO for this
 * computer's disk and for a guest that goes; else as microvm_connect. UNSUPPORTED on
 * Windows. */
MICROVM_API int microvm_copy_to(microvm *vm, const char *host_path,
                                const char *guest_path, const microvm_copy *copy,
                                microvm_error *err);
MICROVM_API int microvm_copy_from(microvm *vm, const char *guest_path,
                                  const char *host_path, const microvm_copy *copy,
                                  microvm_error *err);
/* The same over a connection to the agent, which is taken over. */
MICROVM_API int microvm_copy_to_on(intptr_t connection, const char *host_path,
                                   const char *guest_path, const microvm_copy *copy,
                                   microvm_error *err);
MICROVM_API int microvm_copy_from_on(intptr_t connection, const char *guest_path,
                                     const char *host_path, const microvm_copy *copy,
                                     microvm_error *err);

/* ---- log and counters ------------------------------------------------------------ */

typedef enum microvm_log_level {
    MICROVM_LOG_ERROR = 1,
    MICROVM_LOG_WARNING = 2,
    MICROVM_LOG_INFO = 3,
    MICROVM_LOG_DEBUG = 4
} microvm_log_level;

/* Called from the machine's own threads, and inside microvm_new and microvm_free from
 * their caller's; never after microvm_free has returned. Must not call back into the
 * same machine. `text` is one line without its end. */
typedef void microvm_log_fn(void *user, int level, const char *text);

MICROVM_API void microvm_config_set_log(microvm_config *config, microvm_log_fn *fn,
                                        void *user, int level);

typedef struct microvm_stats {
    uint32_t size;
    uint32_t vcpus;
    uint64_t entries;    /* returns of the hypervisor's run call to us, all vCPUs */
    uint64_t pio_exits;  /* of them: port accesses */
    uint64_t mmio_exits; /* of them: device memory accesses */
    uint64_t kicks;      /* of them: asked for by ourselves */
    uint64_t irqs;       /* interrupts that devices raised */
    uint64_t doorbells;  /* queue notifications seen by the device loop */
    uint64_t disk_read_bytes;
    uint64_t disk_write_bytes;
    uint64_t disk_requests;
    uint64_t console_out_bytes;
    uint64_t console_in_bytes;
    uint64_t balloon_bytes;   /* memory that the guest has given back */
    uint64_t created_ns;      /* microvm_new began; monotonic clock of the host */
    uint64_t started_ns;      /* start was called */
    uint64_t entered_ns;      /* first vCPU entered the guest */
    uint64_t boot_mark_ns[4]; /* first write of value 0..3 to the debug port; 0: none */
    uint64_t ended_ns;
    uint64_t vsock_connections;  /* made, either way */
    uint64_t vsock_out_bytes;    /* from the guest */
    uint64_t vsock_in_bytes;     /* to the guest */
    uint64_t net_received_bytes; /* by the guest, all network devices */
    uint64_t net_received_frames;
    uint64_t net_received_drops; /* no device could take them */
    uint64_t net_sent_bytes;     /* by the guest */
    uint64_t net_sent_frames;
    uint64_t net_sent_drops; /* malformed, or the backing could not take them */
    /* What the egress policy of the user network has refused. */
    uint64_t net_refused_connections; /* and datagrams */
    uint64_t net_refused_names;       /* that were asked for */
    uint64_t net_refused_answers;     /* of DNS, that pointed inside */
    uint64_t transport; /* of virtio devices: 0 not started, 1 MMIO, 2 PCI */
    /* Frames that the egress policy could not read, so let nowhere: fragments, VLAN
     * tags, DNS that is malformed or answers what nobody asked. */
    uint64_t net_refused_frames;
} microvm_stats;

/* Fills *out up to out->size. Works in every state. */
MICROVM_API int microvm_get_stats(microvm *vm, microvm_stats *out, microvm_error *err);
/* The same as a JSON object; the caller's, microvm_string_free. */
MICROVM_API char *microvm_stats_json(microvm *vm);

#ifdef __cplusplus
}
#endif

#endif
