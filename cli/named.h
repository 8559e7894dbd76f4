/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Named machines. Each `microvm run` claims a name in the user's runtime directory
 * ($XDG_RUNTIME_DIR/microvm, mode 0700) and listens there on a UNIX socket, NAME.sock;
 * the other commands find it by its name. The claim is a lock on NAME.lock that the
 * kernel takes away from a process that dies, so a name is taken exactly as long as its
 * machine's process lives, and who meets a dead one's files removes them.
 *
 * A conversation is one line of JSON each way: {"do": "pause"} and {"ok": true, ...} or
 * {"error": "a sentence"}. After some of them the socket is a stream of bytes.
 */
#ifndef CLI_NAMED_H
#define CLI_NAMED_H

#include <jansson.h>
#include <microvm/microvm.h>
#include <stdbool.h>

enum { NAMED_BYTES = 65, NAMED_REQUEST_MAX = 4096 };

/* ---- the machine's side, named_posix.c ------------------------------------------- */

struct claim {
    char name[NAMED_BYTES];
    int lock, listener; /* -1: none */
};
#define CLAIM_NONE \
    {              \
        "", -1, -1 \
    }

/* Claims `wanted`; false after a message. NULL: two words of our own; false, without a
 * message, where no name can be had: the machine runs as well without. */
bool claim_name(struct claim *claim, const char *wanted);
void claim_release(struct claim *claim);

/* ---- the other commands' side ---------------------------------------------------- */

/* The names whose machines' processes live, sorted; of dead ones the files are removed.
 * NULL-terminated, freed by named_list_free; NULL after a message. */
char **named_list(void);
void named_list_free(char **names);

/* Sends {"do": verb} merged with `more` (taken over; may be NULL) to the machine and
 * returns its answer, a JSON object, the caller's. NULL after a message. When `stream`
 * is given the connection stays open, as a stream of bytes. */
json_t *named_ask(const char *name, const char *verb, json_t *more, int *stream);
/* The same without messages; what there is to say is in `err`, which may be NULL. */
json_t *named_try(const char *name, const char *verb, json_t *more, int *stream,
                  microvm_error *err);
/* For lists: a machine that has ended meanwhile is NULL without a message, one that
 * does not answer within 2 s with one. */
json_t *named_look(const char *name, const char *verb);

#endif
