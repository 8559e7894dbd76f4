/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tunnel of wireguard.h, step by step; each waits for a process or a timer, never
 * for anybody else. Names of servers are resolved in a process of its own. Secrets go
 * to `wg` through its standard input, and are forgotten here then.
 */
#define _GNU_SOURCE
#include "wireguard.h"

#include "dns.h"
#include "gate.h"
#include "guest/lib/timer.h"
#include "proto/vpn.h"
#include "task.h"
#include "wglink.h"
#include "wgpeers.h"
#include "wgresolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    HANDSHAKE_MS = 20000, /* for the first one, and all before it */
    HELPER_MS = 20000,
    SILENT_MS = 60000, /* before everything is made anew */
    LOOK_MS = 250,
    LOOK_CONNECTED_MS = 3000,
    AGAIN_MS = 500, /* where the network is not there yet */
    ENGINE_MS = 50,
    TEXT_MAX = 96 * 1024, /* `wg show dump` of the largest profile */
    TROUBLE_MAX = 200,
    ENGINE_TEXT_MAX = 4096
};

static const char no_answer[] =
    "the server does not answer: check the profile's Endpoint and keys (PublicKey, "
    "PrivateKey, PresharedKey), that the server knows this one's, and that UDP passes";

static const char engine_socket[] = "/var/run/wireguard/" WGLINK_NAME ".sock";

static struct wireguard_settings settings;
static struct wg_profile profile;
static struct wg_prefix endpoint[WG_PEERS_MAX];
static char text[TEXT_MAX], engine_text[ENGINE_TEXT_MAX], trouble[TROUBLE_MAX];
static bool runs, connected;
static struct timer patience, next;

static void helper_ended(int status);
static void engine_ended(int status);
static struct task helper = TASK_NONE(text, sizeof text, helper_ended);
static struct task engine = TASK_NONE(engine_text, sizeof engine_text, engine_ended);
static void (*helper_done)(int status);

static void step_begin(void);

/* ---- the end --------------------------------------------------------------------- */

bool wireguard_runs(void)
{
    return runs;
}

void wireguard_end(void)
{
    if (!runs)
        return;
    runs = connected = false;
    timer_clear(&patience);
    timer_clear(&next);
    task_end(&helper);
    dns_restore();
    gate_names(false);
    wglink_remove();
    if (engine.pid)
        (void)unlink(engine_socket);
    task_end(&engine);
    explicit_bzero(&profile, sizeof profile);
    explicit_bzero(text, sizeof text);
}

static void fail(const char *what)
{
    char said[PROFILE_WHY_MAX];
    (void)snprintf(said, sizeof said, "%s", what);
    wireguard_end();
    settings.failed(said);
}

static void fail_errno(const char *what, int error)
{
    char said[PROFILE_WHY_MAX];
    (void)snprintf(said, sizeof said, "%s: %s", what, strerror(error));
    fail(said);
}

static void patience_ends(void)
{
    fail(*trouble ? trouble : no_answer);
}

/* ---- processes ------------------------------------------------------------------- */

static void helper_ended(int status)
{
    timer_clear(&next);
    helper_done(status);
}

static void resolved(int status);

static void helper_late(void)
{
    fail(helper_done == resolved
             ? trouble
             : "a process that was asked about the tunnel does not end");
}

/* Lines are one, for a message. */
static const char *helper_said(void)
{
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static bool helper_begin(int in, const char *const words[], int (*function)(void),
                         void (*done)(int status))
{
    helper_done = done;
    timer_set(&next, HELPER_MS, helper_late);
    if (task_begin(&helper, in, words, function))
        return true;
    fail_errno("a process cannot be started", errno);
    return false;
}

/* ---- what becomes of it ---------------------------------------------------------- */

static void look(void);

static void look_again(void)
{
    timer_set(&next, connected ? LOOK_CONNECTED_MS : LOOK_MS, look);
}

static const char *tunnel_ip(char ip[64])
{
    const struct wg_prefix *address = &profile.address[0];
    for (unsigned i = profile.addresses; i-- > 0;) {
        if (profile.address[i].family == AF_INET)
            address = &profile.address[i];
    }
    return wgprofile_ip(address, ip);
}

static void looked(int status)
{
    char ip[64];
    if (status) {
        fail("the interface is gone");
        return;
    }
    bool alive = wgpeers_look(text, loop_now_ms());
    explicit_bzero(text, sizeof text);
    if (alive && !connected) {
        connected = true;
        trouble[0] = '\0';
        timer_clear(&patience);
        settings.connected(tunnel_ip(ip));
    } else if (!alive && connected) {
        connected = false;
        timer_set(&patience, SILENT_MS, patience_ends);
        settings.silent();
    }
    look_again();
}

static void look(void)
{
    const char *const words[] = {settings.wg, "show", WGLINK_NAME, "dump", NULL};
    (void)helper_begin(-1, words, NULL, looked);
}

/* ---- the interface --------------------------------------------------------------- */

/* A kernel without IPv6 may still have the rest. */
static bool may_be_without(const struct wg_prefix *what, int error)
{
    return what->family == AF_INET6 && (error == EAFNOSUPPORT || error == EOPNOTSUPP ||
                                        error == EACCES || error == ENODEV);
}

/* The kernel makes a route to the network of an address by itself. */
static bool is_own(const struct wg_prefix *to)
{
    bool own = false;
    for (unsigned i = 0; i < profile.addresses; i++)
        own |= profile.address[i].bits == to->bits &&
               wgprofile_covers(to, &profile.address[i]);
    return own;
}

static bool prefix_well(const struct wg_prefix *what, const char *to, int error)
{
    char ip[64], said[160];
    if (!error)
        return true;
    (void)snprintf(said, sizeof said, "the %s %s/%u cannot be set", to,
                   wgprofile_ip(what, ip), what->bits);
    if (error == EEXIST && is_own(what))
        return true;
    if (may_be_without(what, error) || error == EEXIST) {
        (void)fprintf(stderr, "vpnd: %s: %s\n", said, strerror(error));
        return true;
    }
    fail_errno(said, error);
    return false;
}

static unsigned allowed_count(void)
{
    const struct wg_peer *last = &profile.peer[profile.peers - 1];
    return last->first + last->allowed;
}

static void step_routes(int status)
{
    char said[PROFILE_WHY_MAX];
    if (status) {
        (void)snprintf(said, sizeof said, "wg: %.200s", helper_said());
        fail(said);
        return;
    }
    for (unsigned i = 0; i < profile.addresses; i++) {
        if (!prefix_well(&profile.address[i], "address",
                         wglink_address(&profile.address[i])))
            return;
    }
    int error = wglink_up(profile.mtu);
    if (error) {
        fail_errno("the interface cannot be set up", error);
        return;
    }
    for (unsigned i = 0; i < allowed_count() && !profile.no_routes; i++) {
        if (!prefix_well(&profile.allowed[i], "route",
                         wglink_route(&profile.allowed[i])))
            return;
    }
    dns_begin();
    for (unsigned i = 0; i < profile.servers; i++)
        dns_add(profile.server[i]);
    bool named = dns_apply();
    if (!named && errno)
        (void)fprintf(stderr, "vpnd: the VPN's name servers cannot be used: %s\n",
                      strerror(errno));
    else if (!named)
        (void)fprintf(stderr,
                      "vpnd: the profile has %sno name server (DNS): through it "
                      "there are addresses, no names\n",
                      profile.servers ? "domains, but " : "");
    look();
}

/* It has read all of it by its end. */
static void step_keys(void)
{
    static char config[WG_CONFIG_MAX];
    const char *const words[] = {settings.wg, "setconf", WGLINK_NAME, "/proc/self/fd/0",
                                 NULL};
    size_t size =
        wgprofile_write(&profile, endpoint, gate_is_closed() ? GATE_MARK : 0, config);
    int fd = memfd_create("wg", MFD_CLOEXEC);
    bool well = fd >= 0 && write(fd, config, size) == (ssize_t)size &&
                lseek(fd, 0, SEEK_SET) == 0;
    explicit_bzero(config, sizeof config);
    explicit_bzero(profile.key, sizeof profile.key);
    for (unsigned i = 0; i < profile.peers; i++)
        explicit_bzero(profile.peer[i].shared, sizeof profile.peer[i].shared);
    if (well)
        (void)helper_begin(fd, words, NULL, step_routes);
    else
        fail_errno("no memory", errno);
    if (fd >= 0)
        (void)close(fd);
}

/* ---- wireguard-go ---------------------------------------------------------------- */

static void engine_ended(int status)
{
    char said[PROFILE_WHY_MAX];
    char *error = strstr(engine_text, "ERROR: ");
    if (error)
        error[strcspn(error, "\n")] = '\0';
    (void)unlink(engine_socket);
    (void)snprintf(said, sizeof said, "%.60s ended with status %d%s%.180s",
                   settings.wireguard_go, status, error ? ": " : "",
                   error ? error : "");
    fail(said);
}

/* It listens for wg when its interface is there. */
static void engine_look(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", engine_socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool well = fd >= 0 && connect(fd, (const void *)&address, sizeof address) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (well)
        step_keys();
    else
        timer_set(&next, ENGINE_MS, engine_look);
}

static void step_link(void)
{
    const char *const words[] = {settings.wireguard_go, "-f", WGLINK_NAME, NULL};
    int error = wglink_make();
    if (!error) {
        step_keys();
    } else if (error != EOPNOTSUPP) {
        fail_errno("the interface " WGLINK_NAME " cannot be made", error);
    } else if (access(settings.wireguard_go, X_OK)) {
        fail("this guest's kernel has no WireGuard (CONFIG_WIREGUARD), and there is no "
             "wireguard-go");
    } else if (task_begin(&engine, -1, words, NULL)) {
        engine_look();
    } else {
        fail_errno(settings.wireguard_go, errno);
    }
}

/* ---- the way to the servers ------------------------------------------------------ */

static bool is_covered(const struct wg_prefix *server)
{
    for (unsigned i = 0; i < allowed_count() && !profile.no_routes; i++) {
        if (wgprofile_covers(&profile.allowed[i], server))
            return true;
    }
    return false;
}

static void step_ways(void)
{
    char ip[64];
    for (unsigned i = 0; i < profile.peers && !gate_is_closed(); i++) {
        if (!profile.peer[i].host[0] || !is_covered(&endpoint[i]))
            continue;
        int error = wglink_keep_way(&endpoint[i]);
        if (!error)
            continue;
        (void)snprintf(trouble, sizeof trouble, "there is no way to the server %s: %s",
                       wgprofile_ip(&endpoint[i], ip), strerror(error));
        timer_set(&next, AGAIN_MS, step_begin);
        return;
    }
    step_link();
}

static int resolve(void)
{
    return wgresolve(&profile, gate_is_closed() ? GATE_MARK : 0);
}

static void resolved(int status)
{
    gate_names(false);
    if (!status && wgresolve_read(text, &profile, endpoint)) {
        trouble[0] = '\0';
        step_ways();
        return;
    }
    (void)snprintf(trouble, sizeof trouble, "%.180s", helper_said());
    if (status == WGRESOLVE_AGAIN)
        timer_set(&next, AGAIN_MS, step_begin);
    else
        fail(*trouble ? trouble : "the server's name cannot be resolved");
}

/* Until there is more to say. */
static void trouble_names(void)
{
    struct wg_prefix address;
    for (unsigned i = 0; i < profile.peers; i++) {
        const char *host = profile.peer[i].host;
        if (!*host || wgprofile_prefix(host, &address))
            continue;
        (void)snprintf(
            trouble, sizeof trouble,
            "no name server answers in time for an Endpoint's name ('%.80s')", host);
        return;
    }
}

/* With the gate closed, the gateway is looked at again, too. */
static void step_begin(void)
{
    gate_names(true);
    if (!wgresolve_plain(&profile, endpoint)) {
        trouble_names();
        (void)helper_begin(-1, NULL, resolve, resolved);
        return;
    }
    gate_names(false);
    step_ways();
}

/* ---- the beginning --------------------------------------------------------------- */

void wireguard_open(const struct wireguard_settings *s)
{
    settings = *s;
    wglink_remove();
}

static bool profile_load(const char *path, char why[PROFILE_WHY_MAX])
{
    char *content = malloc(VPN_PROFILE_MAX);
    size_t have = 0;
    ssize_t n = 1;
    int fd = content ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    while (fd >= 0 && n > 0 && have < VPN_PROFILE_MAX) {
        n = read(fd, content + have, VPN_PROFILE_MAX - have);
        have += n > 0 ? (size_t)n : 0;
    }
    bool well = fd >= 0 && n >= 0;
    if (!well)
        (void)snprintf(why, PROFILE_WHY_MAX, "%.200s: %s", path, strerror(errno));
    well = well && wgprofile_read(content, have, &profile, why);
    if (fd >= 0)
        (void)close(fd);
    if (content)
        explicit_bzero(content, have);
    free(content);
    return well;
}

bool wireguard_start(const char *path, char why[PROFILE_WHY_MAX])
{
    wireguard_end();
    if (access(settings.wg, X_OK)) {
        (void)snprintf(
            why, PROFILE_WHY_MAX,
            "this is a WireGuard profile, and there is no %.100s in this "
            "guest, which is needed for it: 'make vpn' builds it, then a new "
            "gateway",
            settings.wg);
        return false;
    }
    if (!profile_load(path, why)) {
        explicit_bzero(&profile, sizeof profile);
        return false;
    }
    runs = true;
    trouble[0] = '\0';
    wgpeers_begin();
    timer_set(&patience, HANDSHAKE_MS, patience_ends);
    timer_set(&next, 0, step_begin); /* what fails there is told like all else */
    return true;
}
