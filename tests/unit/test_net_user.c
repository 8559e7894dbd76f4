/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The library's side of the user network, with a script for a helper: it writes down
 * what it is asked, and does as badly as a test wants.
 */
#define _GNU_SOURCE
#include "check.h"
#include "netend.h"

#include "backing/net_user.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sockets are 3 and 4. A forward listens where its text says, "slow" or not. */
static const char script[] =
    "#!/usr/bin/python3 -S\n"
    "import json, os, socket, sys, time\n"
    "path = sys.argv[0]\n"
    "control = socket.socket(fileno=4)\n"
    "control.setblocking(True)\n"
    "for line in control.makefile():\n"
    "    with open(path + '.log', 'a') as log:\n"
    "        log.write(line)\n"
    "    request = json.loads(line)\n"
    "    at = request.get('add', request.get('remove', '')).replace('slow ', '')\n"
    "    answer = json.dumps({'ok': True, 'at': at, 'refused_names': 3,\n"
    "                         'refused_malformed': 4, 'landlock': False})\n"
    "    if at == 'dies':\n"
    "        os._exit(1)\n"
    "    if at == 'nonsense':\n"
    "        answer = 'x'\n"
    "    if at == 'taken' and os.path.exists(path + '.taken'):\n"
    "        answer = json.dumps({'error': 'taken: in use'})\n"
    "    control.sendall(answer.encode() + b'\\n')\n"
    "    if at == 'nonsense':\n"
    "        time.sleep(0.1)\n"
    "        control.sendall(b'{\"ok\": true, \"at\": \"late\"}\\n')\n";

struct bed {
    char folder[64], program[80], log[90], taken[90];
    struct netend end;
    char rule[20];
    struct mv_config_list forwards, rules;
    unsigned told; /* link changes that the owner heard of */
};

static void on_link(void *owner)
{
    struct bed *bed = owner;
    bed->told++;
}

static void bed_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int ends_at_once(void *arg)
{
    (void)arg;
    _exit(0);
}

/* A helper's end is not to raise SIGCHLD in the application; qemu's user mode knows
 * no child without it. */
static bool children_may_be_silent(void)
{
    static _Alignas(16) char stack[65536];
    int pid = clone(ends_at_once, stack + sizeof stack, CLONE_VM | CLONE_VFORK, NULL);
    if (pid < 0)
        return errno != EINVAL;
    return waitpid(pid, NULL, __WALL) == pid;
}

/* Exit status 77 counts as one that was not run, and is named. */
static int helpers_can_run(void **state)
{
    (void)state;
    const char *missing = NULL;
    if (access("/usr/bin/python3", X_OK))
        missing = "/usr/bin/python3 is not there";
    else if (!children_may_be_silent())
        missing = "this system starts no child without an exit signal";
    if (!missing)
        return 0;
    print_message("SKIP: %s\n", missing);
    exit(77);
}

static int bed_open(struct bed *bed, char *first, microvm_error *err)
{
    struct mv_log log = bed->end.log;
    *bed = (struct bed){.folder = "/tmp/microvm-net-user-XXXXXX"};
    assert_non_null(mkdtemp(bed->folder));
    (void)snprintf(bed->program, sizeof bed->program, "%s/netd", bed->folder);
    (void)snprintf(bed->log, sizeof bed->log, "%s.log", bed->program);
    (void)snprintf(bed->taken, sizeof bed->taken, "%s.taken", bed->program);
    bed_write(bed->program, script);
    assert_int_equal(chmod(bed->program, 0700), 0);
    (void)snprintf(bed->rule, sizeof bed->rule, "deny 192.0.2.1");
    bed->forwards = (struct mv_config_list){.text = {first}, .count = 1};
    bed->rules = (struct mv_config_list){.text = {bed->rule}, .count = 1};
    const struct mv_net_user_config user = {
        .program = bed->program, .forward = &bed->forwards, .rule = &bed->rules};
    int rc = netend_open_logged(
        &bed->end, (struct mv_net_config){.kind = MV_NET_USER, .user = &user}, log,
        err);
    if (!rc)
        bed->end.net->owner = (struct mv_net_owner){on_link, bed};
    return rc;
}

static void bed_remove(struct bed *bed)
{
    (void)unlink(bed->program);
    (void)unlink(bed->log);
    (void)unlink(bed->taken);
    (void)rmdir(bed->folder);
}

static void bed_close(struct bed *bed)
{
    netend_close(&bed->end);
    bed_remove(bed);
}

/* What the helpers were asked; the caller's. */
static char *bed_log(const struct bed *bed)
{
    static char text[8192];
    FILE *f = fopen(bed->log, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    return text;
}

static void bed_wait_for_link(struct bed *bed, bool up)
{
    for (unsigned i = 0; i < 500 && bed->end.net->link != up; i++) {
        netend_turn(&bed->end);
        uv_sleep(10);
    }
    assert_int_equal(bed->end.net->link, up);
}

static void bed_let_it_die(struct bed *bed)
{
    microvm_error err;
    assert_int_equal(mv_net_user_forward(bed->end.net, "dies", true, &err),
                     MICROVM_E_IO);
    assert_non_null(strstr(err.message, "can be restarted"));
    bed_wait_for_link(bed, false);
}

static void an_end_is_told_although_nobody_listens(void **state)
{
    (void)state;
    struct bed bed = {.told = 0};
    microvm_error err;
    assert_ok(bed_open(&bed, (char[]){"80:80"}, &err), &err);
    assert_true(bed.end.net->link);
    bed_let_it_die(&bed);
    assert_int_equal(bed.told, 1);
    assert_int_equal(bed.end.links, 1);
    bed_close(&bed);
}

static void a_new_helper_is_asked_for_what_was_open(void **state)
{
    (void)state;
    struct bed bed = {.told = 0};
    microvm_error err;
    assert_ok(bed_open(&bed, (char[]){"80:80"}, &err), &err);
    struct mv_net *net = bed.end.net;
    assert_ok(mv_net_user_forward(net, "81:81", true, &err), &err);
    assert_ok(mv_net_user_forward(net, "82:82", true, &err), &err);
    /* the same place, written otherwise */
    assert_ok(mv_net_user_forward(net, "slow 80:80", false, &err), &err);
    bed_let_it_die(&bed);
    assert_ok(mv_net_user_forward(net, "82:82", false, &err), &err); /* needs nobody */
    assert_int_equal(mv_net_user_forward(net, "82:82", false, &err), MICROVM_E_IO);
    bed_write(bed.log, "");
    assert_ok(mv_net_user_restart(net, &err), &err);
    assert_true(net->link);
    assert_int_equal(bed.told, 2);
    char *log = bed_log(&bed);
    assert_non_null(strstr(log, "deny 192.0.2.1"));
    assert_non_null(strstr(log, "{\"do\":\"forward\",\"add\":\"81:81\"}\n"));
    assert_null(strstr(log, "80:80"));
    assert_null(strstr(log, "82:82"));
    bed_let_it_die(&bed); /* the new one's end is seen as well */
    bed_close(&bed);
}

static void counters_outlive_the_helper(void **state)
{
    (void)state;
    struct bed bed = {.told = 0};
    microvm_error err;
    struct mv_net_user_stats stats;
    assert_ok(bed_open(&bed, (char[]){"80:80"}, &err), &err);
    mv_net_user_stats(bed.end.net, &stats);
    assert_int_equal(stats.refused_names, 3);
    assert_int_equal(stats.refused_frames, 4);
    bed_let_it_die(&bed);
    mv_net_user_stats(bed.end.net, &stats);
    assert_int_equal(stats.refused_names, 3);
    assert_ok(mv_net_user_restart(bed.end.net, &err), &err);
    mv_net_user_stats(bed.end.net, &stats);
    assert_int_equal(stats.refused_names, 6);
    assert_int_equal(stats.refused_frames, 8);
    bed_close(&bed);
}

static void a_restart_that_fails_can_be_tried_again(void **state)
{
    (void)state;
    struct bed bed = {.told = 0};
    microvm_error err;
    assert_ok(bed_open(&bed, (char[]){"taken"}, &err), &err);
    bed_write(bed.taken, "");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mv_net_user_restart(bed.end.net, &err), MICROVM_E_INVALID);
        assert_string_equal(err.message, "net 'user': taken: in use");
        bed_wait_for_link(&bed, false);
        assert_int_equal(mv_net_user_forward(bed.end.net, "1:1", true, &err),
                         MICROVM_E_IO);
    }
    assert_int_equal(unlink(bed.taken), 0);
    assert_ok(mv_net_user_restart(bed.end.net, &err), &err);
    assert_true(bed.end.net->link);
    bed_close(&bed);
}

static void helpers_that_misbehave_at_once_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *forward;
        int code;
    } cases[] = {{"dies", MICROVM_E_IO}, {"nonsense", MICROVM_E_IO}};
    for (unsigned i = 0; i < 2; i++) {
        struct bed bed = {.told = 0};
        microvm_error err;
        char forward[16];
        (void)snprintf(forward, sizeof forward, "%s", cases[i].forward);
        assert_int_equal(bed_open(&bed, forward, &err), cases[i].code);
        bed_remove(&bed);
    }
}

/* One that comes when nobody waits for it any more is not the next one's. */
static void a_late_answer_is_nobodys(void **state)
{
    (void)state;
    struct bed bed = {.told = 0};
    microvm_error err;
    struct mv_net_user_stats stats;
    assert_ok(bed_open(&bed, (char[]){"80:80"}, &err), &err);
    assert_int_equal(mv_net_user_forward(bed.end.net, "nonsense", true, &err),
                     MICROVM_E_IO);
    bed_write(bed.taken, "");
    uv_sleep(300);
    assert_int_equal(mv_net_user_forward(bed.end.net, "taken", true, &err),
                     MICROVM_E_IO);
    mv_net_user_stats(bed.end.net, &stats);
    assert_int_equal(stats.refused_names, 0); /* nor asked */
    assert_ok(mv_net_user_restart(bed.end.net, &err), &err);
    assert_ok(mv_net_user_forward(bed.end.net, "81:81", true, &err), &err);
    bed_close(&bed);
}

static void on_log(void *user, int level, const char *text)
{
    unsigned *warned = user;
    assert_int_equal(level, MICROVM_LOG_WARNING);
    assert_non_null(strstr(text, "the kernel has no Landlock"));
    ++*warned;
}

static void a_helper_without_landlock_is_told(void **state)
{
    (void)state;
    struct bed bed = {.told = 0};
    microvm_error err;
    unsigned warned = 0;
    bed.end.log = (struct mv_log){on_log, &warned, MICROVM_LOG_WARNING};
    assert_ok(bed_open(&bed, (char[]){"80:80"}, &err), &err);
    assert_int_equal(warned, 1);
    bed_close(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_is_told_although_nobody_listens),
        cmocka_unit_test(a_new_helper_is_asked_for_what_was_open),
        cmocka_unit_test(counters_outlive_the_helper),
        cmocka_unit_test(a_late_answer_is_nobodys),
        cmocka_unit_test(a_helper_without_landlock_is_told),
        cmocka_unit_test(a_restart_that_fails_can_be_tried_again),
        cmocka_unit_test(helpers_that_misbehave_at_once_are_refused),
    };
    return cmocka_run_group_tests(tests, helpers_can_run, NULL);
}
