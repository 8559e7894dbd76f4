/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The commands of the guests' /init (init.c). Each takes the text behind "NAME=" (""
 * when there is none), says what it found as lines "MV NAME VALUE" on the console, and
 * returns; a command that cannot do its work says "MV NAME error: WHY".
 */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>
#include <stdint.h>

/* Prints one line and the reason in errno. */
void guest_trouble(const char *name, const char *what);

/* Waits up to five seconds until `path` exists; devices appear when they like. */
int guest_wait_for(const char *path);

/* report.c: what the guest sees of its machine */
void guest_cpus(const char *arg);
void guest_mem(const char *arg);
void guest_uname(const char *arg);
void guest_hypervisor(const char *arg);
void guest_ask(const char *arg);
void guest_touch(const char *arg);
void guest_rng(const char *arg);

/* ends.c: ways to end */
void guest_poweroff(const char *arg);
void guest_reboot(const char *arg);
void guest_panic(const char *arg);
void guest_button(const char *arg);
void guest_sleep(const char *arg);
void guest_spin(const char *arg);

/* stream.c: bytes through the console */
void guest_source(const char *arg);
void guest_sink(const char *arg);

/* files.c: disks and file systems */
void guest_disk(const char *arg);
void guest_readonly(const char *arg);
void guest_mount(const char *arg);
void guest_script(const char *arg);
void guest_shell(const char *arg);

/* vsock.c: sockets to and from the host */
void guest_vsock_serve(const char *arg);
void guest_vsock_dial(const char *arg);
void guest_vsock_errors(const char *arg);
void guest_vsock_half(const char *arg);
void guest_vsock_messages(const char *arg);

#endif
