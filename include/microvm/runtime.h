/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libmicrovm, the runtime API: one Linux guest, a client of its ports, and its console,
 * for an application that wants no more than that. It is made of microvm.h alone, whose
 * rules of errors, threads, ownership and growth hold here, too.
 *
 *     microvm_client *client;
 *     microvm_runtime *vm = microvm_runtime_new(&config, &client, &err);
 *     microvm_runtime_spawn(vm, &err);
 *     microvm_client_request(client, 1025, "{\"cmd\":\"ping\"}", 14, 5000,
 *                            &reply, &length, &err);
 *     microvm_runtime_shutdown(vm, 10000, &err);
 *     microvm_client_free(client);
 *     microvm_runtime_free(vm);
 *
 * Every call that waits has a limit of time in milliseconds (MICROVM_FOREVER: none).
 */
#ifndef MICROVM_RUNTIME_H
#define MICROVM_RUNTIME_H

#include "microvm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The name of the hypervisor that machines of this process get: "KVM"; "none" where
 * there is none that works. Static storage. */
MICROVM_API const char *microvm_hypervisor_name(void);

/* ---- the machine ----------------------------------------------------------------- */

typedef struct microvm_runtime_config {
    uint32_t size;
    uint32_t memory_mb;       /* 16 and more; 0: 512, or as `machine` has it */
    const char *kernel_path;  /* bzImage or vmlinux */
    const char *initrd_path;  /* NULL: none */
    const char *cmdline;      /* NULL: only ours */
    uint32_t guest_cid;       /* 3 and more; 0: `machine` has a vsock device */
    uint32_t console_history; /* bytes of output that are kept for subscribers */
    /* What else the machine has: a network, processors, disks, a bundle's settings; it
     * is copied. The members above go over it where they are neither NULL nor 0; with
     * it kernel_path may be NULL. NULL: nothing else. */
    const microvm_config *machine;
} microvm_runtime_config;
#define MICROVM_RUNTIME_CONFIG_INIT                                              \
    {                                                                            \
        sizeof(microvm_runtime_config), 0, NULL, NULL, NULL, 3, 256 * 1024, NULL \
    }

typedef struct microvm_runtime microvm_runtime;
typedef struct microvm_client microvm_client;
typedef struct microvm_subscriber microvm_subscriber;

/* A machine that does not run yet, and a client of its ports, which is freed by itself.
 * "Kernel image not found" without a kernel_path, "Kernel not found at: PATH" when
 * nothing is there. */
MICROVM_API microvm_runtime *microvm_runtime_new(const microvm_runtime_config *config,
                                                 microvm_client **client,
                                                 microvm_error *err);
/* Boots it, once. Returns when its processor runs. */
MICROVM_API int microvm_runtime_spawn(microvm_runtime *runtime, microvm_error *err);
/* Asks the guest to power off, and kills it when it has not in time: TIMEOUT then. Of a
 * machine that does not run: 0. */
MICROVM_API int microvm_runtime_shutdown(microvm_runtime *runtime, int64_t timeout_ms,
                                         microvm_error *err);
MICROVM_API void microvm_runtime_kill(microvm_runtime *runtime);
/* 1 from spawn until the machine has ended. */
MICROVM_API int microvm_runtime_is_running(microvm_runtime *runtime);
/* How it ended; as microvm_wait. */
MICROVM_API int microvm_runtime_wait(microvm_runtime *runtime, int64_t timeout_ms,
                                     microvm_exit *out, microvm_error *err);
/* The machine itself, for what is not here; it goes with the runtime. */
MICROVM_API microvm *microvm_runtime_machine(microvm_runtime *runtime);
/* Kills what still runs. Calls of its clients that are under way fail, and are waited
 * for; clients and subscribers may stay: their calls fail from then on. */
MICROVM_API void microvm_runtime_free(microvm_runtime *runtime);

/* ---- its ports ------------------------------------------------------------------- */

/*
 * A client may be used by several threads at once, and cloned, which costs nothing.
 * While the guest does not listen on a port yet, connecting is tried again until the
 * time is over. A connection is a socket as microvm_connect gives it.
 */
MICROVM_API microvm_client *microvm_client_clone(microvm_client *client);
MICROVM_API void microvm_client_free(microvm_client *client);

MICROVM_API int microvm_client_connect(microvm_client *client, uint32_t port,
                                       int64_t timeout_ms, intptr_t *connection,
                                       microvm_error *err);
/* All of it; what was sent before an error nobody knows. TIMEOUT; IO: the guest takes
 * nothing any more, be it that it has ended the connection or that it was reset. */
MICROVM_API int microvm_client_send(intptr_t connection, const void *data,
                                    size_t length, int64_t timeout_ms,
                                    microvm_error *err);
/* Bytes received, at least one; 0: the guest has ended its side. TIMEOUT; IO with
 * os_code ECONNRESET: the connection was reset. */
MICROVM_API int64_t microvm_client_recv(intptr_t connection, void *data, size_t length,
                                        int64_t timeout_ms, microvm_error *err);
/* 1: the end that was received is none: microvm_connection_was_cut. */
MICROVM_API int microvm_client_was_cut(microvm_client *client, intptr_t connection);
MICROVM_API void microvm_client_close(intptr_t connection);

/*
 * One question, one answer, over a connection of its own: sends the bytes and a newline
 * (unless they end with one), and takes what comes until a newline, or until the guest
 * ends its side. *reply, the caller's (microvm_string_free), is ended by a zero byte
 * that *length does not count, and has no newline; up to 64 MiB.
 *
 * TIMEOUT: the time is over, for all of it. IO: the guest refuses the port, or it has
 * ended its side without an answer, or (os_code ECONNRESET) the connection was cut off,
 * also in the middle of an answer: it was reset, or the machine has gone. NOT_RUNNING:
 * the machine has ended, or its runtime was freed.
 */
MICROVM_API int microvm_client_request(microvm_client *client, uint32_t port,
                                       const void *data, size_t length,
                                       int64_t timeout_ms, char **reply,
                                       size_t *reply_length, microvm_error *err);

/* The same over a connection that is open, and stays so: a socket of the caller's,
 * which is made non-blocking, as microvm_connect gives one. What comes behind the
 * answer's newline stays in it. An answer that a cut ends is told from a whole one only
 * where the socket says so. */
MICROVM_API int microvm_client_request_on(intptr_t connection, const void *data,
                                          size_t length, int64_t timeout_ms,
                                          char **reply, size_t *reply_length,
                                          microvm_error *err);

/* ---- a VPN gateway's daemon ------------------------------------------------------ */

/* Its port, and what its answers say; proto/vpn.md tells of each command. */
enum { MICROVM_VPN_PORT = 1025 };
enum {
    MICROVM_VPN_OK,
    MICROVM_VPN_ERROR,
    MICROVM_VPN_PONG,
    MICROVM_VPN_CONNECTED,
    MICROVM_VPN_DISCONNECTED,
    MICROVM_VPN_WEBAUTH_REQUIRED
};

typedef struct microvm_vpn_request {
    uint32_t size;
    const char *command; /* "ping", "vpn_start", ... */
    /* Of vpn_start; all but the first may be NULL. */
    const char *profile, *username, *password, *response, *key_password;
    const char *name, *content; /* of vpn_set_profile */
    const char *auth;           /* the daemon's secret, where it asks for it; or NULL */
} microvm_vpn_request;
#define MICROVM_VPN_REQUEST_INIT                                                     \
    {                                                                                \
        sizeof(microvm_vpn_request), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL                                                                     \
    }

/* What is not said is NULL. */
typedef struct microvm_vpn_answer {
    uint32_t size;
    int32_t status; /* MICROVM_VPN_* */
    const char *tun_ip, *error, *auth_url, *auth_secret, *challenge;
    const char *state;           /* of vpn_status and vpn_start: "connecting", ... */
    const char *profile;         /* of which one */
    const char *const *profiles; /* of list_profiles: ends with NULL */
    void *memory;                /* that all these are in; NULL: none */
} microvm_vpn_answer;
#define MICROVM_VPN_ANSWER_INIT                                                        \
    {                                                                                  \
        sizeof(microvm_vpn_answer), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL                                                                       \
    }

/* Asks the daemon; also an error that it tells of is an answer (0). As
 * microvm_client_request fails, so does this, and with IO when what comes is no answer
 * of such a daemon. *out is freed by microvm_vpn_answer_free. */
MICROVM_API int microvm_vpn_ask(microvm_client *client,
                                const microvm_vpn_request *request, int64_t timeout_ms,
                                microvm_vpn_answer *out, microvm_error *err);
/* The same over a connection with its port, as microvm_client_request_on. */
MICROVM_API int microvm_vpn_ask_on(intptr_t connection,
                                   const microvm_vpn_request *request,
                                   int64_t timeout_ms, microvm_vpn_answer *out,
                                   microvm_error *err);
MICROVM_API void microvm_vpn_answer_free(microvm_vpn_answer *answer);

/* ---- its console ----------------------------------------------------------------- */

/*
 * Everybody who subscribes gets all the output from there on, at a pace of his own: who
 * is slow slows nobody down, but loses what is older than the history, and is told how
 * much. The guest never waits for subscribers.
 *
 * history: up to so many bytes of what was there before come first.
 */
MICROVM_API microvm_subscriber *microvm_runtime_subscribe(microvm_runtime *runtime,
                                                          size_t history,
                                                          microvm_error *err);
MICROVM_API void microvm_subscriber_free(microvm_subscriber *subscriber);
/* Bytes of output, at least one; 0: the machine has ended, and that was all; TIMEOUT
 * when none came. *lost: how many bytes are missing before these; NULL is allowed. */
MICROVM_API int64_t microvm_subscriber_read(microvm_subscriber *subscriber, void *data,
                                            size_t length, int64_t timeout_ms,
                                            uint64_t *lost, microvm_error *err);
/* What the guest reads from its console: all of it, and TIMEOUT when it has not taken
 * all in time; how much of it then nobody knows. */
MICROVM_API int microvm_runtime_input(microvm_runtime *runtime, const void *data,
                                      size_t length, int64_t timeout_ms,
                                      microvm_error *err);

#ifdef __cplusplus
}
#endif

#endif
