/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SOCKS5 servers (RFC 1928, RFC 1929) whose connections the guest makes, so that what
 * the guest reaches, a VPN for example, is reached by ssh and curl on this computer:
 *
 *     client -- TCP --> here -- a port of the guest --> inbound-proxy --> target
 *
 * What a client wants is passed on to the guest's inbound proxy (proto/proxy.md), whose
 * reply the client gets as it is: from then on nobody stands between them. Only where
 * the guest has an older proxy ("plain") is the reply ours, and always the good one.
 */
#include "backing/vsock_door.h"

#include "core/config_row.h"
#include "proto/proxy.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ADDRESS_BYTES = 46, /* of the longest IPv6 address, with its end */
    SECRET_BYTES = 256,
    CALLERS = 256,
    SERVERS = 16
};
enum { HEARS_METHODS, HEARS_LOGIN, HEARS_REQUEST };

#define PATIENCE_NS 5000000000ull /* with a guest that is just starting */

struct mv_vsock_socks {
    struct mv_vsock_door door; /* first member */
    struct mv_vsock_socks *next;
    char address[ADDRESS_BYTES];
    uint16_t asked, bound; /* ports: of the text, and the one that it became */
    char user[SECRET_BYTES], password[SECRET_BYTES]; /* user "": everybody may */
    uint32_t guest_port;
    bool plain;
};

static struct mv_vsock_socks *socks_of(const struct mv_vsock_caller *caller)
{
    return MV_CONTAINER(caller->door, struct mv_vsock_socks, door);
}

/* -- what a client says -- */

/* A few bytes into a socket that holds none: there is room, or nobody reads them. */
static void say(const struct mv_vsock_caller *caller, const uint8_t *bytes,
                size_t length)
{
    (void)mv_socket_write(caller->socket, bytes, length);
}

static void say_method(const struct mv_vsock_caller *caller, enum socks_method method)
{
    const uint8_t answer[] = {5, (uint8_t)method};
    say(caller, answer, sizeof answer);
}

static void say_reply(const struct mv_vsock_caller *caller, enum socks_status status)
{
    uint8_t reply[SOCKS_REPLY_MAX];
    say(caller, reply, socks_reply_write(reply, status));
}

static int hear_methods(struct mv_vsock_caller *caller, const uint8_t *bytes,
                        size_t length)
{
    unsigned methods;
    enum socks_method wanted = socks_of(caller)->user[0] ? SOCKS_PASSWORD : SOCKS_NONE;
    int used = socks_methods_read(bytes, length, &methods);
    if (used <= 0)
        return used;
    if (!(methods & 1u << wanted)) {
        say_method(caller, SOCKS_NO_METHOD);
        return -1;
    }
    say_method(caller, wanted);
    caller->phase = wanted == SOCKS_PASSWORD ? HEARS_LOGIN : HEARS_REQUEST;
    return used;
}

/* Takes as long whatever is wrong with it. */
static bool same_secret(const char *ours, const uint8_t *theirs, uint8_t length)
{
    uint8_t padded[SECRET_BYTES] = {0}, differs = 0;
    memcpy(padded, theirs, length);
    for (unsigned i = 0; i < SECRET_BYTES; i++)
        differs |= (uint8_t)(padded[i] ^ (uint8_t)ours[i]);
    return !differs;
}

static int hear_login(struct mv_vsock_caller *caller, const uint8_t *bytes,
                      size_t length)
{
    const struct mv_vsock_socks *socks = socks_of(caller);
    struct socks_login login;
    int used = socks_login_read(bytes, length, &login);
    if (used <= 0)
        return used;
    bool user = same_secret(socks->user, login.user, login.user_length);
    bool password = same_secret(socks->password, login.password, login.password_length);
    const uint8_t answer[] = {1, user && password ? 0 : 1}; /* RFC 1929, 2 */
    say(caller, answer, sizeof answer);
    caller->phase = HEARS_REQUEST;
    return user && password ? used : -1;
}

/* As an older proxy of the guest understands it. */
static size_t plain_request(uint8_t out[MV_VSOCK_FIRST],
                            const struct proxy_target *target)
{
    _Static_assert((int)MV_VSOCK_FIRST >= (int)PROXY_REQUEST_MAX, "it has room");
    return proxy_request_write(out, target);
}

static size_t socks_request(uint8_t out[MV_VSOCK_FIRST], const uint8_t *bytes,
                            size_t length)
{
    _Static_assert((int)MV_VSOCK_FIRST >= PROXY_HELLO_BYTES + SOCKS_REQUEST_MAX,
                   "it has room");
    proxy_hello_write(out);
    memcpy(out + PROXY_HELLO_BYTES, bytes, length);
    return PROXY_HELLO_BYTES + length;
}

static int hear_request(struct mv_vsock_caller *caller, const uint8_t *bytes,
                        size_t length)
{
    const struct mv_vsock_socks *socks = socks_of(caller);
    struct proxy_target target;
    enum socks_status status;
    int used = socks_request_read(bytes, length, &target, &status);
    if (used <= 0)
        return used;
    if (status != SOCKS_OK) {
        say_reply(caller, status);
        return -1;
    }
    size_t first = socks->plain ? plain_request(caller->first, &target)
                                : socks_request(caller->first, bytes, (size_t)used);
    caller->dial.first = (struct mv_span){caller->first, first};
    caller->dial.port = socks->guest_port;
    mv_vsock_door_dial(caller);
    return used;
}

static int socks_hear(struct mv_vsock_caller *caller, const uint8_t *bytes,
                      size_t length)
{
    return caller->phase == HEARS_METHODS ? hear_methods(caller, bytes, length)
           : caller->phase == HEARS_LOGIN ? hear_login(caller, bytes, length)
                                          : hear_request(caller, bytes, length);
}

/* From now on an end is one that the guest's proxy has said, which it does direction by
 * direction: of a proxy, a tunnel or a machine that dies before, and of this process,
 * the client hears a reset. Plain proxies may close when all is said. */
static bool socks_taken(struct mv_vsock_caller *caller, uint32_t host_port)
{
    (void)host_port;
    if (socks_of(caller)->plain)
        say_reply(caller, SOCKS_OK);
    else
        mv_tcp_close_resets(caller->socket, true);
    return true;
}

static void socks_failed(struct mv_vsock_caller *caller)
{
    say_reply(caller, SOCKS_FAILURE);
}

static const struct mv_vsock_manner socks_manner = {.hear = socks_hear,
                                                    .taken = socks_taken,
                                                    .failed = socks_failed,
                                                    .most = SOCKS_LOGIN_MAX,
                                                    .callers = CALLERS,
                                                    .patience_ns = PATIENCE_NS};

/* -- the setting -- */

static int wrong(microvm_error *err, const char *text, const char *what)
{
    char shown[MV_STR_SHOWN];
    return mv_fail(err, MICROVM_E_INVALID,
                   "socks '%s': %s; it is [ADDR:]PORT, as 1080 or [::1]:1080, with "
                   ",user=NAME,password=TEXT where they are wanted",
                   mv_str_show(shown, text), what);
}

/* "1080", "127.0.0.1:1080", "[::1]:1080". */
static bool parse_address(struct mv_vsock_socks *socks, const char *text)
{
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    const char *from = text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    uint64_t number;
    if (length >= 2 && from[0] == '[' && from[length - 1] == ']') {
        from++;
        length -= 2;
    } else if (memchr(from, ':', length)) {
        return false; /* an IPv6 address without brackets */
    }
    if (mv_str_to_count(port, &number) || number > UINT16_MAX ||
        length >= sizeof socks->address)
        return false;
    (void)snprintf(socks->address, sizeof socks->address, "%.*s", (int)length, from);
    if (length == 0)
        (void)snprintf(socks->address, sizeof socks->address, "127.0.0.1");
    socks->asked = (uint16_t)number;
    return true;
}

static const char *parse_secret(char out[SECRET_BYTES], const char *text)
{
    size_t length = strlen(text);
    if (length < 1 || length >= SECRET_BYTES)
        return "a name and a password have 1 to 255 bytes";
    memcpy(out, text, length + 1);
    return NULL;
}

static const char *parse_option(struct mv_vsock_socks *socks, const char *option)
{
    uint64_t number;
    if (!strncmp(option, "user=", 5))
        return parse_secret(socks->user, option + 5);
    if (!strncmp(option, "password=", 9))
        return parse_secret(socks->password, option + 9);
    if (!strcmp(option, "plain")) {
        socks->plain = true;
        return NULL;
    }
    if (strncmp(option, "port=", 5))
        return "an option is user=, password=, port= or plain";
    if (mv_str_to_count(option + 5, &number) || number < 1 || number >= UINT32_MAX)
        return "port= is a port of the guest, 1 to 4294967294";
    socks->guest_port = (uint32_t)number;
    return NULL;
}

static const char *parse_parts(struct mv_vsock_socks *socks, char *text)
{
    char *rest = text;
    const char *what = NULL;
    socks->guest_port = PROXY_PORT;
    if (!parse_address(socks, mv_config_part(&rest)))
        return "this is no address";
    while (rest && !what)
        what = parse_option(socks, mv_config_part(&rest));
    if (!what && !socks->user[0] != !socks->password[0])
        return "user= and password= belong together";
    return what;
}

static int parse(struct mv_vsock_socks *socks, const char *text, microvm_error *err)
{
    char *copy = strdup(text);
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "socks: no memory");
    const char *what = parse_parts(socks, copy);
    free(copy);
    return what ? wrong(err, text, what) : 0;
}

/* -- open and close -- */

/* Whoever reaches the address may use it, as far as the guest gets. */
static int check_open_to_all(const struct mv_vsock_socks *socks, microvm_error *err)
{
    if (socks->user[0] || mv_tcp_is_loopback(socks->address))
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "socks: others can reach %s, so it needs user= and password=; "
                   "127.0.0.1 does not",
                   socks->address);
}

static unsigned socks_count(const struct mv_vsock_ports *ports)
{
    unsigned n = 0;
    for (const struct mv_vsock_socks *s = ports->socks; s; s = s->next)
        n++;
    return n;
}

static int socks_listen(struct mv_vsock_socks *socks, struct mv_vsock_ports *ports,
                        microvm_error *err)
{
    intptr_t socket;
    if (socks_count(ports) == SERVERS)
        return mv_fail(err, MICROVM_E_STATE, "socks: a machine has at most %d",
                       SERVERS);
    int rc = mv_tcp_listen(socks->address, socks->asked, &socket, &socks->bound, err);
    if (rc)
        return rc;
    rc = mv_vsock_door_open(&socks->door, ports, &socks_manner, socket, err);
    if (rc)
        mv_socket_close(socket);
    return rc;
}

int mv_vsock_socks_open(struct mv_vsock_ports *ports, const char *text, uint16_t *port,
                        microvm_error *err)
{
    struct mv_vsock_socks *socks = calloc(1, sizeof *socks);
    if (!socks)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "socks: no memory");
    int rc = parse(socks, text, err);
    if (!rc)
        rc = check_open_to_all(socks, err);
    if (!rc)
        rc = socks_listen(socks, ports, err);
    if (rc) {
        free(socks);
        return rc;
    }
    socks->next = ports->socks;
    ports->socks = socks;
    *port = socks->bound;
    return 0;
}

void mv_vsock_socks_end(struct mv_vsock_socks *socks)
{
    struct mv_vsock_socks **at = &socks->door.ports->socks;
    while (*at != socks)
        at = &(*at)->next;
    *at = socks->next;
    mv_vsock_door_close(&socks->door);
    mv_socket_close(socks->door.socket);
    free(socks);
}

int mv_vsock_socks_close(struct mv_vsock_ports *ports, const char *text,
                         microvm_error *err)
{
    struct mv_vsock_socks wanted = {.plain = false};
    int rc = parse(&wanted, text, err);
    if (rc)
        return rc;
    for (struct mv_vsock_socks *s = ports->socks; s; s = s->next) {
        bool same = s->asked == wanted.asked || s->bound == wanted.asked;
        if (same && !strcmp(s->address, wanted.address)) {
            mv_vsock_socks_end(s);
            return 0;
        }
    }
    return mv_fail(err, MICROVM_E_STATE, "socks: nobody listens at %s:%u",
                   wanted.address, wanted.asked);
}
