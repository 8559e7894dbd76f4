/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What can be asked of a named machine. Every verb is a row of a table and a function
 * that gives its answer.
 */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { LIMITS_MAX = 24 }; /* the library's */

typedef json_t *verb_fn(const struct verb_machine *machine, const json_t *request,
                        struct verb_result *result);

static json_t *answer_error(const char *message)
{
    return json_pack("{s:s}", "error", message);
}

static json_t *answer_of(int rc, const microvm_error *err)
{
    return rc ? answer_error(err->message) : json_pack("{s:b}", "ok", 1);
}

static json_t *parse(char *text)
{
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    microvm_string_free(text);
    return json ? json : json_object();
}

/* A whole number of the request from `least` to `most`; `usual` when it is not there;
 * -1: it is something else. */
static int64_t number_of(const json_t *request, const char *key, int64_t usual,
                         int64_t least, int64_t most)
{
    const json_t *value = json_object_get(request, key);
    if (!value)
        return usual;
    int64_t n = json_integer_value(value);
    return json_is_integer(value) && n >= least && n <= most ? n : -1;
}

/* ---- looking --------------------------------------------------------------------- */

static const char *image_of(const json_t *config)
{
    const char *kernel = json_string_value(json_object_get(config, "kernel"));
    const char *slash = kernel ? strrchr(kernel, '/') : NULL;
    return slash ? slash + 1 : kernel ? kernel : "";
}

static json_t *verb_info(const struct verb_machine *machine, const json_t *request,
                         struct verb_result *result)
{
    (void)request, (void)result;
    json_t *config = parse(microvm_config_to_json(machine->config, 1));
    const json_t *cpus = json_object_get(config, "cpus");
    json_t *answer =
        json_pack("{s:s, s:s, s:s, s:I, s:O?, s:I, s:I, s:O}", "name", machine->name,
                  "state", microvm_state_name((int)microvm_get_state(machine->vm)),
                  "image", image_of(config), "cpus", json_integer_value(cpus), "memory",
                  json_object_get(config, "memory"), "pid", (json_int_t)machine->pid,
                  "since", (json_int_t)machine->since, "ports", machine->ports);
    json_decref(config);
    return answer;
}

/* The network devices, in their order. */
static json_t *nets_of(microvm *vm)
{
    microvm_nic_info info = MICROVM_NIC_INFO_INIT;
    json_t *nets = json_array();
    for (unsigned i = 0; microvm_nic_get_info(vm, i, &info, NULL) == 0; i++) {
        char mac[18];
        (void)snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", info.mac[0],
                       info.mac[1], info.mac[2], info.mac[3], info.mac[4], info.mac[5]);
        (void)json_array_append_new(nets, json_pack("{s:s, s:s, s:s, s:i, s:s}", "id",
                                                    info.id, "backing", info.backing,
                                                    "mac", mac, "mtu", (int)info.mtu,
                                                    "link", info.link ? "up" : "down"));
    }
    return nets;
}

static json_t *verb_inspect(const struct verb_machine *machine, const json_t *request,
                            struct verb_result *result)
{
    json_t *answer = verb_info(machine, request, result);
    (void)json_object_set_new(answer, "config",
                              parse(microvm_config_to_json(machine->config, 1)));
    (void)json_object_set_new(answer, "nets", nets_of(machine->vm));
    (void)json_object_set_new(answer, "stats", parse(microvm_stats_json(machine->vm)));
    return answer;
}

static json_t *verb_stats(const struct verb_machine *machine, const json_t *request,
                          struct verb_result *result)
{
    (void)request, (void)result;
    return parse(microvm_stats_json(machine->vm));
}

/* ---- changing -------------------------------------------------------------------- */

static json_t *verb_pause(const struct verb_machine *machine, const json_t *request,
                          struct verb_result *result)
{
    microvm_error err;
    (void)request, (void)result;
    return answer_of(microvm_pause(machine->vm, &err), &err);
}

static json_t *verb_resume(const struct verb_machine *machine, const json_t *request,
                           struct verb_result *result)
{
    microvm_error err;
    (void)request, (void)result;
    return answer_of(microvm_resume(machine->vm, &err), &err);
}

/* `then` is what the time leads to. */
static json_t *ask_for_end(const json_t *request, enum verb_then then,
                           struct verb_result *result)
{
    int64_t timeout_ms = number_of(request, "timeout_ms", 10000, 0, INT32_MAX);
    if (timeout_ms < 0)
        return answer_error("timeout_ms is no number of milliseconds");
    result->then = then;
    result->timeout_ms = (uint64_t)timeout_ms;
    return json_object();
}

static json_t *verb_stop(const struct verb_machine *machine, const json_t *request,
                         struct verb_result *result)
{
    (void)machine;
    bool asked = json_is_true(json_object_get(request, "asked"));
    return ask_for_end(request, asked ? THEN_ASKED : THEN_STOP, result);
}

/* The guest ends by itself: given that time, it is not shut down. */
static json_t *verb_wait(const struct verb_machine *machine, const json_t *request,
                         struct verb_result *result)
{
    (void)machine;
    return ask_for_end(request, THEN_WAIT, result);
}

static json_t *verb_end(const struct verb_machine *machine, const json_t *request,
                        struct verb_result *result)
{
    (void)machine, (void)request;
    result->then = THEN_END;
    return json_object();
}

/* Answered when it has ended, too. */
static json_t *verb_kill(const struct verb_machine *machine, const json_t *request,
                         struct verb_result *result)
{
    (void)machine, (void)request;
    result->then = THEN_STOP;
    return json_object();
}

/* ---- the console ----------------------------------------------------------------- */

static json_t *verb_logs(const struct verb_machine *machine, const json_t *request,
                         struct verb_result *result)
{
    (void)machine;
    bool follow = json_is_true(json_object_get(request, "follow"));
    result->then = follow ? THEN_FOLLOW : THEN_LOGS;
    return json_pack("{s:b}", "ok", 1);
}

static json_t *verb_attach(const struct verb_machine *machine, const json_t *request,
                           struct verb_result *result)
{
    (void)machine, (void)request;
    result->then = THEN_ATTACH;
    return json_pack("{s:b}", "ok", 1);
}

static json_t *verb_resize(const struct verb_machine *machine, const json_t *request,
                           struct verb_result *result)
{
    microvm_error err;
    int64_t columns = number_of(request, "columns", -1, 1, UINT16_MAX);
    int64_t rows = number_of(request, "rows", -1, 1, UINT16_MAX);
    (void)result;
    if (columns < 0 || rows < 0)
        return answer_error("resize: columns and rows must be 1 to 65535");
    return answer_of(
        microvm_console_resize(machine->vm, (uint16_t)columns, (uint16_t)rows, &err),
        &err);
}

static json_t *verb_limit(const struct verb_machine *machine, const json_t *request,
                          struct verb_result *result)
{
    microvm_error err;
    const char *text[LIMITS_MAX];
    const json_t *limits = json_object_get(request, "limits");
    unsigned count = (unsigned)json_array_size(limits);
    (void)result;
    if (count < 1 || count > LIMITS_MAX)
        return answer_error("limit: one to 24 can be changed at once");
    for (unsigned i = 0; i < count; i++)
        text[i] = json_string_value(json_array_get(limits, i));
    int rc = microvm_set_limits_text(machine->vm, text, count, &err);
    for (unsigned i = 0; i < count && !rc; i++)
        microvm_config_set(machine->config, "limit", text[i]);
    return answer_of(rc, &err);
}

/* ---- the network ----------------------------------------------------------------- */

/* Where a forward listens, "[ADDR:]HOST:GUEST[/udp]", which can be written in many
 * ways: zero where it is none. */
struct place {
    bool v6, udp;
    uint8_t address[16];
    unsigned long port;
};

static struct place place_of(const char *text)
{
    struct place place = {.port = 0}, none = {.port = 0};
    char copy[128] = "", usual[] = "127.0.0.1", *end;
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *slash = strrchr(copy, '/');
    place.udp = slash && !strcmp(slash, "/udp");
    char *guest = strrchr(copy, ':');
    if (!guest)
        return none;
    *guest = '\0';
    char *port = strrchr(copy, ':');
    char *address = port ? copy : usual;
    if (port)
        *port++ = '\0';
    place.port = strtoul(port ? port : copy, &end, 10);
    address[strcspn(address, "]")] = '\0';
    address += *address == '[';
    place.v6 = strchr(address, ':') != NULL;
    bool ok = uv_inet_pton(place.v6 ? AF_INET6 : AF_INET, address, place.address) == 0;
    return ok && !*end ? place : none;
}

/* The forward among those that are open which listens where `text` says; -1: none. */
static int port_find(const json_t *ports, const char *text)
{
    struct place wanted = place_of(text);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        struct place is = place_of(json_string_value(json_array_get(ports, i)));
        if (is.port == wanted.port && is.v6 == wanted.v6 && is.udp == wanted.udp &&
            !memcmp(is.address, wanted.address, sizeof is.address))
            return (int)i;
    }
    return -1;
}

static json_t *verb_publish(const struct verb_machine *machine, const json_t *request,
                            struct verb_result *result)
{
    microvm_error err;
    const char *add = json_string_value(json_object_get(request, "add"));
    const char *remove = json_string_value(json_object_get(request, "remove"));
    (void)result;
    int at = remove ? port_find(machine->ports, remove) : -1;
    if (at >= 0)
        remove = json_string_value(json_array_get(machine->ports, (size_t)at));
    int rc = add ? microvm_publish(machine->vm, add, &err)
                 : microvm_unpublish(machine->vm, remove, &err);
    if (!rc && add)
        (void)json_array_append_new(machine->ports, json_string(add));
    else if (!rc && at >= 0)
        (void)json_array_remove(machine->ports, (size_t)at);
    return answer_of(rc, &err);
}

/* {"restart": ID}; null: the first of the user network. */
static int net_restart(microvm *vm, const json_t *which, microvm_error *err)
{
    microvm_nic_info info = MICROVM_NIC_INFO_INIT;
    microvm_nic *nic = NULL;
    const char *id = json_string_value(which);
    for (unsigned i = 0; !id && microvm_nic_get_info(vm, i, &info, NULL) == 0; i++) {
        if (!strcmp(info.backing, "user"))
            id = info.id;
    }
    int rc = microvm_nic_find(vm, id, &nic, err);
    return rc ? rc : microvm_nic_restart(nic, err);
}

static json_t *verb_net(const struct verb_machine *machine, const json_t *request,
                        struct verb_result *result)
{
    microvm_error err;
    const json_t *restart = json_object_get(request, "restart");
    (void)result;
    if (restart)
        return answer_of(net_restart(machine->vm, restart, &err), &err);
    return json_pack("{s:o}", "nets", nets_of(machine->vm));
}

static json_t *verb_connect(const struct verb_machine *machine, const json_t *request,
                            struct verb_result *result)
{
    microvm_error err;
    int64_t port = number_of(request, "port", -1, 0, UINT32_MAX);
    int64_t timeout_ms = number_of(request, "timeout_ms", 0, 0, 60000);
    if (port < 0 || timeout_ms < 0)
        return answer_error(
            "connect: the port or the time is no number that it can be");
    int rc = microvm_connect_begin(machine->vm, (uint32_t)port, timeout_ms,
                                   &result->stream, &err);
    if (!rc)
        result->then = THEN_STREAM;
    return answer_of(rc, &err);
}

/* {"open": SETTING}, or {"close": ADDRESS}. With "hold" the server lives as long as who
 * asked for it. */
static json_t *verb_socks(const struct verb_machine *machine, const json_t *request,
                          struct verb_result *result)
{
    microvm_error err;
    uint16_t port = 0;
    const char *open = json_string_value(json_object_get(request, "open"));
    const char *shut = json_string_value(json_object_get(request, "close"));
    if (!open)
        return answer_of(microvm_socks_close(machine->vm, shut, &err), &err);
    int rc = microvm_socks_open(machine->vm, open, &port, &err);
    if (rc)
        return answer_of(rc, &err);
    /* "[::1]:0,user=..." listens at "[::1]:PORT". */
    char address[sizeof result->socks];
    int length = (int)strcspn(open, ",");
    while (length > 0 && open[length] != ':')
        length--;
    (void)snprintf(address, sizeof address, "%.*s:%u", length ? length : 9,
                   length ? open : "127.0.0.1", port);
    if (json_is_true(json_object_get(request, "hold")))
        result->then = THEN_SOCKS;
    (void)snprintf(result->socks, sizeof result->socks, "%s", address);
    return json_pack("{s:b, s:s}", "ok", 1, "address", address);
}

/* ---- the table ------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    verb_fn *fn;
} verbs[] = {
    {"info", verb_info},     {"inspect", verb_inspect}, {"stats", verb_stats},
    {"pause", verb_pause},   {"resume", verb_resume},   {"stop", verb_stop},
    {"kill", verb_kill},     {"logs", verb_logs},       {"attach", verb_attach},
    {"resize", verb_resize}, {"publish", verb_publish}, {"connect", verb_connect},
    {"limit", verb_limit},   {"wait", verb_wait},       {"net", verb_net},
    {"socks", verb_socks},   {"end", verb_end},
};

json_t *verb_do(const struct verb_machine *machine, const char *line,
                struct verb_result *result)
{
    json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(request, "do"));
    json_t *answer = NULL;
    *result = (struct verb_result){.then = THEN_NOTHING, .stream = -1};
    for (size_t i = 0; name && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (!strcmp(name, verbs[i].name)) {
            answer = verbs[i].fn(machine, request, result);
            json_decref(request);
            return answer;
        }
    }
    answer = answer_error(name ? "it does not know how to do that: it was started by "
                                 "another version of microvm"
                               : "the request is no JSON object that says what to do");
    json_decref(request);
    return answer;
}

json_t *verb_ended(const struct verb_machine *machine)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    int rc = microvm_wait(machine->vm, 0, &end, &err);
    if (rc)
        return answer_error(err.message);
    return json_pack("{s:b, s:i, s:s}", "ok", 1, "code", (int)end.code, "message",
                     end.message);
}
