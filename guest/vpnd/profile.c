/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lines, as OpenVPN's own reader takes them (openvpn(8), "--config"; "INLINE FILE
 * SUPPORT"). Where that reader is generous, this one is not: a directive's name is
 * written plainly, lines are short (that reader cuts long ones of an inline file and
 * looks for the end in each piece), and there is no file within <connection>. So both
 * see the same directives.
 */
#include "profile.h"

#include <stdio.h>
#include <string.h>

enum {
    LINE_MAX_BYTES = 250, /* OpenVPN's OPTION_LINE_SIZE is 256 */
    WORDS_MAX = 16,
    TAG_MAX = 40,
    TOLD_MAX = 20
};

/* ---- what there is --------------------------------------------------------------- */

/* Free of files, whatever stands behind them. */
static const char plain[] =
    " allow-compression allow-deprecated-insecure-static-crypto allow-pull-fqdn"
    " allow-recursive-routing auth auth-nocache auth-retry bind block-ipv6"
    " block-outside-dns cipher client client-nat comp-lzo comp-noadapt compat-mode"
    " compress connect-retry connect-retry-max connect-timeout data-ciphers"
    " data-ciphers-fallback dhcp-option disable-dco disable-occ dns ecdh-curve echo"
    " explicit-exit-notify fast-io float fragment group hand-window http-proxy-option"
    " http-proxy-retry ifconfig ifconfig-ipv6 ifconfig-nowarn ignore-unknown-option"
    " inactive ip-win32 keepalive key-direction key-method keysize link-mtu local lport"
    " max-packet-size max-routes mssfix mtu-disc mtu-test multihome mute"
    " mute-replay-warnings ncp-ciphers ncp-disable nice no-iv no-replay nobind"
    " ns-cert-type passtos peer-fingerprint persist-key persist-local-ip"
    " persist-remote-ip persist-tun ping ping-exit ping-restart ping-timer-rem port"
    " proto proto-force pull pull-filter push-peer-info rcvbuf redirect-gateway"
    " redirect-private register-dns remap-usr1 remote remote-cert-eku remote-cert-ku"
    " remote-cert-tls remote-random remote-random-hostname reneg-bytes reneg-pkts"
    " reneg-sec replay-window resolv-retry route route-delay route-gateway route-ipv6"
    " route-ipv6-gateway route-method route-metric route-nopull rport script-security"
    " server-poll-timeout session-timeout setenv-safe shaper single-session sndbuf"
    " socket-flags socks-proxy-retry static-challenge tap-sleep tcp-nodelay"
    " tls-cert-profile tls-cipher tls-ciphersuites tls-client tls-exit tls-groups"
    " tls-timeout tls-version-max tls-version-min topology tran-window tun-ipv6"
    " tun-max-mtu tun-mtu tun-mtu-extra tun-mtu-max txqueuelen up-delay up-restart user"
    " verb verify-hash verify-x509-name windows-driver x509-username-field ";

/* A file, unless it is written into the profile. */
static const char files[] =
    " ca cert crl-verify dh extra-certs key pkcs12 secret tls-auth tls-crypt"
    " tls-crypt-v2 ";

static const char programs[] =
    " auth-user-pass-verify client-connect client-crresponse client-disconnect"
    " dns-updown down down-pre ipchange iproute learn-address plugin route-pre-down"
    " route-up tls-crypt-v2-verify tls-verify up ";

static const char other_files[] =
    " auth-gen-token-secret capath cd chroot client-config-dir config dev-node engine"
    " ifconfig-pool-persist log log-append management management-client"
    " pkcs11-providers providers replay-persist status syslog tls-export-cert tmp-dir"
    " tls-export-peer-cert-dir writepid ";

static bool is_one_of(const char *list, const char *name)
{
    char word[TAG_MAX + 3];
    (void)snprintf(word, sizeof word, " %s ", name);
    return *name && !strchr(name, ' ') && strstr(list, word);
}

/* ---- words of a line ------------------------------------------------------------- */

struct line {
    unsigned number;
    char text[LINE_MAX_BYTES + 1];
    char *word[WORDS_MAX];
    unsigned words;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One word, its quotes and backslashes taken away, in place. The place behind it; NULL:
 * a quotation has no end. */
static char *word_end(char *from)
{
    char quote = 0, *to = from;
    if (*from == '"' || *from == '\'')
        quote = *from++;
    for (; *from && (quote ? *from != quote : !is_space(*from)); from++) {
        if (*from == '\\' && quote != '\'' && from[1])
            from++;
        *to++ = *from;
    }
    if (quote && !*from)
        return NULL;
    char *behind = *from ? from + 1 : from;
    *to = '\0';
    return behind;
}

static bool line_words(struct line *line)
{
    char *at = line->text;
    line->words = 0;
    for (;;) {
        while (is_space(*at))
            at++;
        if (!*at || *at == '#' || *at == ';')
            return true;
        if (line->words == WORDS_MAX)
            return false;
        line->word[line->words++] = at;
        at = word_end(at);
        if (!at)
            return false;
    }
}

/* A name as everybody writes it: what OpenVPN might read otherwise is none. */
static bool name_plain(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && length <= TAG_MAX && !name[length];
}

/* ---- directives ------------------------------------------------------------------ */

static const char *check_device(const struct line *line)
{
    const char *value = line->words > 1 ? line->word[1] : "";
    return strncmp(value, "tun", 3) ? "is not for a tun device: only those are here"
                                    : NULL;
}

/* From word `first` on: where a name of a file may stand, and what else may. */
static const char *check_file_at(const struct line *line, unsigned first,
                                 const char *except)
{
    if (line->words <= first || is_one_of(except, line->word[first]))
        return NULL;
    return "names a file: put what is in it into the profile, between "
           "<directive> and </directive>, or leave it away";
}

static const char *check_credentials(const struct line *line)
{
    return line->words > 1 && strcmp(line->word[1], "username-only") != 0
               ? "names a file: give username and password with vpn_start instead"
               : NULL;
}

static const char *check_name(const struct line *line, const char *name)
{
    if (is_one_of(plain, name))
        return NULL;
    if (!strcmp(name, "dev") || !strcmp(name, "dev-type"))
        return check_device(line);
    if (!strcmp(name, "auth-user-pass") || !strcmp(name, "askpass"))
        return check_credentials(line);
    if (!strcmp(name, "http-proxy"))
        return check_file_at(line, 3, " auto auto-nct ");
    if (!strcmp(name, "socks-proxy"))
        return check_file_at(line, 3, " ");
    if (is_one_of(files, name))
        return check_file_at(line, 1, " [inline] none ");
    if (is_one_of(programs, name))
        return "runs a program: leave it away (name servers are set without one)";
    if (is_one_of(other_files, name))
        return "names a file or folder outside the profile: leave it away";
    return "is no directive that a client's profile may have here";
}

/* "setenv opt X ..." is X, where it is known. */
static const char *check_directive(const struct line *line, const char **name)
{
    *name = line->word[0];
    if (!strncmp(*name, "--", 2))
        *name += 2;
    if (!name_plain(*name))
        return "is not written as a directive is";
    if (strcmp(*name, "setenv") != 0)
        return check_name(line, *name);
    if (line->words < 3 || strcmp(line->word[1], "opt") != 0)
        return NULL;
    struct line inner = {.words = line->words - 2};
    memcpy(inner.word, line->word + 2, inner.words * sizeof inner.word[0]);
    *name = inner.word[0];
    return name_plain(*name) && strcmp(*name, "setenv") != 0
               ? check_name(&inner, *name)
               : "is not written as a directive is";
}

/* ---- blocks ---------------------------------------------------------------------- */

struct check {
    struct line line;
    char tag[TAG_MAX + 4];       /* "</ca>" while in <ca> */
    bool connection, directives; /* in one; there are any */
    unsigned begun;              /* the line of what is open */
    char *why;
};

/* Of a line that is not understood nothing is told but what can be a directive: it may
 * be one of a key, or a password. */
static bool name_told(const struct check *c, const char *name)
{
    static const char *const known[] = {plain, files, programs, other_files};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (is_one_of(known[i], name))
            return true;
    }
    return c->line.words > 1 && strlen(name) <= TOLD_MAX && name_plain(name);
}

static bool check_fails(const struct check *c, const char *name, const char *what)
{
    if (name_told(c, name))
        (void)snprintf(c->why, PROFILE_WHY_MAX, "line %u: '%s' %s", c->line.number,
                       name, what);
    else
        (void)snprintf(c->why, PROFILE_WHY_MAX, "line %u: it %s", c->line.number, what);
    return false;
}

static bool check_block(struct check *c, char *word)
{
    char name[TAG_MAX + 1];
    size_t length = strlen(word);
    if (length < 3 || length > TAG_MAX || word[length - 1] != '>' || c->line.words > 1)
        return check_fails(c, word, "is not written as a directive is");
    (void)snprintf(name, sizeof name, "%.*s", (int)(length - 2), word + 1);
    if (c->connection && !strcmp(name, "/connection")) {
        c->connection = false;
        return true;
    }
    if (c->connection)
        return check_fails(c, name, "may not stand in <connection>");
    c->begun = c->line.number;
    if (!strcmp(name, "connection")) {
        c->connection = true;
        return true;
    }
    if (!is_one_of(files, name) && strcmp(name, "auth-user-pass") != 0 &&
        strcmp(name, "peer-fingerprint") != 0 &&
        strcmp(name, "http-proxy-user-pass") != 0)
        return check_fails(c, name, "is nothing that may be written into a profile");
    (void)snprintf(c->tag, sizeof c->tag, "</%s>", name);
    return true;
}

static bool check_line(struct check *c)
{
    const char *name, *at = c->line.text;
    while (is_space(*at))
        at++;
    if (c->tag[0]) {
        if (!strncmp(at, c->tag, strlen(c->tag)))
            c->tag[0] = '\0';
        return true;
    }
    /* Quotes and backslashes around a name are read away: not here. */
    if (*at == '"' || *at == '\'' || *at == '\\')
        return check_fails(c, at, "is not written as a directive is");
    if (!line_words(&c->line))
        return check_fails(c, c->line.words ? c->line.word[0] : at,
                           "has a quotation without an end, or too many words");
    if (c->line.words == 0)
        return true;
    if (c->line.word[0][0] == '<')
        return check_block(c, c->line.word[0]);
    c->directives = true;
    const char *what = check_directive(&c->line, &name);
    return !what || check_fails(c, name, what);
}

bool profile_check(const char *text, size_t size, char why[PROFILE_WHY_MAX])
{
    struct check c = {.why = why};
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3; /* some editors begin files with this mark */
        size -= 3;
    }
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        c.line.number++;
        if (length > LINE_MAX_BYTES || memchr(text, 0, length)) {
            (void)snprintf(why, PROFILE_WHY_MAX,
                           "line %u has more than %d bytes, or a zero", c.line.number,
                           LINE_MAX_BYTES);
            return false;
        }
        memcpy(c.line.text, text, length);
        c.line.text[length] = '\0';
        if (!check_line(&c))
            return false;
        length += end ? 1 : 0;
        text += length;
        size -= length;
    }
    if (!c.tag[0] && !c.connection) {
        if (!c.directives)
            (void)snprintf(why, PROFILE_WHY_MAX,
                           "it is empty: there is no remote to connect to");
        return c.directives;
    }
    (void)snprintf(why, PROFILE_WHY_MAX, "line %u: what begins here has no end",
                   c.begun);
    return false;
}

bool profile_name_valid(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > PROFILE_NAME_MAX || name[0] == '.')
        return false;
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == '/' || *c == '\\' || *c == 127)
            return false;
    }
    return true;
}
