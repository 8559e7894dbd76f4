/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine of any kind, as the public API sees it: the life-cycle table, the
 * operations under way, the events, and one vtable per kind (hv: vCPUs and devices;
 * later wsl: a WSL2 distribution, proc: a VM in a helper process). Arguments are plain
 * data or handles, so that a kind can forward them to another process.
 *
 *     Created --start--> Booting --> Running <--pause/resume--> Paused
 *        |                  |           |                          |
 *        +------------------+-----------+-----------> Stopped, or Failed with a message
 *
 * Threads: the life-cycle functions here lock the machine; the kind's functions are all
 * called on the machine's loop, which is where a kind does its work.
 */
#ifndef MV_MACHINE_MACHINE_H
#define MV_MACHINE_MACHINE_H

#include "backing/vsock_ports.h"
#include "core/config.h"
#include "core/log.h"
#include "machine/events.h"
#include "os/loop.h"

#include <stdbool.h>

enum { MV_OPERATIONS = MICROVM_OP_SHUTDOWN + 1 };

/* A kind. The first four start the operation and return; its end is told by
 * mv_machine_done. When they fail nothing has been changed (start: nothing runs, and
 * the machine has failed). NULL: the kind cannot do it (UNSUPPORTED). */
struct mv_machine_ops {
    const char *kind; /* "hv" */
    int (*start)(struct microvm *vm, microvm_error *err);
    int (*pause)(struct microvm *vm, microvm_error *err);
    int (*resume)(struct microvm *vm, microvm_error *err);
    int (*shutdown)(struct microvm *vm, microvm_error *err);
    /* Ends it for `reason`; arrives at mv_machine_ended soon. Cannot fail. */
    void (*end)(struct microvm *vm, int reason);
    int (*attach_disk)(struct microvm *vm, const struct microvm_disk *disk,
                       microvm_error *err);
    int (*attach_net)(struct microvm *vm, const struct microvm_net *net,
                      microvm_nic **out, microvm_error *err);
    /* id NULL: the first. */
    int (*nic_find)(struct microvm *vm, const char *id, microvm_nic **out,
                    microvm_error *err);
    int (*nic_set_link)(microvm_nic *nic, bool up, microvm_error *err);
    /* In the order of being added; false past the last. */
    bool (*nic_at)(struct microvm *vm, unsigned index, microvm_nic **out);
    bool (*nic_has_link)(microvm_nic *nic);
    /* The first device of the user network. */
    int (*nic_user)(struct microvm *vm, microvm_nic **out, microvm_error *err);
    int (*console_open)(struct microvm *vm, intptr_t *out, microvm_error *err);
    int (*console_resize)(struct microvm *vm, uint16_t columns, uint16_t rows,
                          microvm_error *err);
    int (*set_balloon)(struct microvm *vm, uint32_t mib, microvm_error *err);
    /* rates NULL: only whether there is such a device. */
    int (*set_limit)(struct microvm *vm, const struct mv_limit_target *target,
                     const struct mv_limit_rates *rates, microvm_error *err);
    int (*attach_vsock)(struct microvm *vm, const struct microvm_vsock *vsock,
                        microvm_error *err);
    /* The four, and was_cut, need one another: all are there or none. connect begins:
     * the dial's take or failed is called on the loop, later. accept: 1 got one, 0 none
     * waits. */
    int (*connect)(struct microvm *vm, struct mv_vsock_dial *dial, microvm_error *err);
    int (*listen)(struct microvm *vm, microvm_socket_type type, uint32_t port,
                  microvm_error *err);
    int (*unlisten)(struct microvm *vm, uint32_t port, microvm_error *err);
    int (*accept)(struct microvm *vm, uint32_t port, intptr_t *out, microvm_error *err);
    /* The connection of this socket was cut off by the guest's side. */
    bool (*was_cut)(struct microvm *vm, intptr_t socket);
    /* A SOCKS server, as the setting socks has it; port NULL: ends it. */
    int (*socks)(struct microvm *vm, const char *text, uint16_t *port,
                 microvm_error *err);
    void (*stats)(struct microvm *vm, microvm_stats *out);
    /* Nothing runs any more. First close on the loop, then, when the loop is closed,
     * free the memory. */
    void (*close)(struct microvm *vm);
    void (*free)(struct microvm *vm);
};

/* A network device, part of its machine. */
struct mv_net;
struct mv_vdev;
struct microvm_nic {
    struct microvm *vm;
    struct mv_net *net;
    struct mv_vdev *dev;
    char id[MV_ID_MAX + 1];
    uint8_t mac[6];
};

struct microvm {
    const struct mv_machine_ops *ops;
    struct mv_config config;
    struct mv_log log;
    struct mv_loop loop;
    struct mv_events events;

    uv_mutex_t lock; /* guards what follows; a leaf, never held while calling a kind */
    uv_cond_t changed;
    microvm_state state;
    microvm_exit exit;
    struct mv_operation {
        bool pending, announce;
        unsigned begun, done; /* counted, so that a waiter knows its own */
        microvm_error result;
    } op[MV_OPERATIONS];
    bool reports, ready; /* it can tell of itself (report.c), and has; reports is set
                            before anything runs */
    unsigned arrivals;   /* connections of the guest, counted for who waits for them */
    uint64_t created_ns, started_ns, ended_ns;
    uv_timer_t limit; /* run time limit */
    bool limit_open;
};

/* -- for kinds -- */

/* Common part of a new machine; the loop has no thread yet. config is copied. */
int mv_machine_open(struct microvm *vm, const struct mv_machine_ops *ops,
                    const struct mv_config *config, microvm_error *err);
/* Undoes open; runs the loop until its handles are closed. Not on the loop's thread. */
void mv_machine_close(struct microvm *vm);

/* The operation that is under way has ended: code 0 moves the machine into `state`. */
void mv_machine_done(struct microvm *vm, int operation, microvm_state state,
                     const microvm_error *result);
/* The machine is at its end, and why->message says how; every operation under way ends
 * with it (start with *why itself when it failed). Loop thread. */
void mv_machine_ended(struct microvm *vm, int reason, const microvm_error *why);

/* A connection of the guest waits at `port`. Loop thread. */
void mv_machine_arrived(struct microvm *vm, uint32_t port);

/* The guest's report about itself (proto/agent.md), report.c. Loop thread. It is taken
 * at MICROVM_AGENT_PORT, on which the kind listens; that one has come; and what its
 * main command ended with, -1 when it has not said. */
void mv_report_arrived(struct microvm *vm);
int mv_report_code(struct microvm *vm);

/* -- for the API, any thread -- */

/* Begins an operation; *ticket (may be NULL: announce by event) is for
 * mv_machine_await. */
int mv_machine_begin(struct microvm *vm, int operation, unsigned *ticket,
                     microvm_error *err);
int mv_machine_await(struct microvm *vm, int operation, unsigned ticket,
                     int64_t timeout_ms, microvm_error *err);
int mv_machine_wait(struct microvm *vm, int64_t timeout_ms, microvm_exit *out,
                    microvm_error *err);
int mv_machine_kill(struct microvm *vm, int reason, microvm_error *err);
int mv_machine_wait_ready(struct microvm *vm, int64_t timeout_ms, microvm_error *err);
/* With the lock held: has it ended; and: waits on `changed`, false when timeout_ms
 * after since_ns are over. */
bool mv_machine_is_over(const struct microvm *vm);
bool mv_machine_sleep(struct microvm *vm, int64_t timeout_ms, uint64_t since_ns);
/* The forms of the public header; connect.c. */
int mv_machine_connect(struct microvm *vm, microvm_socket_type type, uint32_t port,
                       int64_t timeout_ms, intptr_t *out, microvm_error *err);
int mv_machine_connect_begin(struct microvm *vm, microvm_socket_type type,
                             uint32_t port, int64_t timeout_ms, intptr_t *out,
                             microvm_error *err);
int mv_machine_listen(struct microvm *vm, microvm_socket_type type, uint32_t port,
                      microvm_error *err);
int mv_machine_unlisten(struct microvm *vm, uint32_t port, microvm_error *err);
int mv_machine_accept(struct microvm *vm, uint32_t port, int64_t timeout_ms,
                      intptr_t *out, microvm_error *err);

/* -- network devices: any thread -- */

int mv_nic_send(microvm_nic *nic, const void *frame, size_t length, int64_t timeout_ms,
                microvm_error *err);
int64_t mv_nic_receive(microvm_nic *nic, void *frame, size_t capacity,
                       int64_t timeout_ms, microvm_error *err);
/* Of the user network; not on the loop. */
int mv_nic_forward(microvm_nic *nic, const char *text, bool add, microvm_error *err);
int mv_nic_restart(microvm_nic *nic, microvm_error *err);
/* Adds what its policy has refused; nothing of another kind. */
void mv_nic_stats(microvm_nic *nic, microvm_stats *out);
const char *mv_nic_backing(const microvm_nic *nic);
uint16_t mv_nic_mtu(const microvm_nic *nic);
/* The link has changed by itself: the event. Loop. */
void mv_nic_link_changed(microvm_nic *nic);
intptr_t mv_nic_handle(const microvm_nic *nic);

/* -- the hv kind -- */

struct mv_hv_ops;
/* As microvm_probe. */
unsigned mv_hv_machine_probe(microvm_backend *out, unsigned capacity);
/* hv NULL: the first usable backend of this build. */
struct microvm *mv_hv_machine_new(const struct mv_config *config,
                                  const struct mv_hv_ops *hv, microvm_error *err);

#endif
