/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * `install` and `run`: the tree so far becomes the disk of a machine, what is asked for
 * runs there as root, and the tree is read back. The disk is a file without a name, so
 * nothing stays behind however this ends.
 *
 * The same inputs shall give the same bytes although clocks go on: a time that a run
 * has set is the image's epoch afterwards. One that comes with a package is before the
 * run, and stays. What the machine itself has put into the image goes again.
 */
#include "builder.h"
#include "files.h"
#include "guest.h"
#include "read_ext4.h"
#include "util/bytes.h"
#include "util/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For what packages bring; it costs the host nothing until it is used. */
#define ROOM_BYTES MV_GIB(4)

enum { CLOCK_SLACK_S = 2, EPOCH_TEXT = 40 };

/* ---- checks ---------------------------------------------------------------------- */

/* Nothing that a package manager would take for a flag, or a shell for its own. */
static int run_check_package(const char *name, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    bool good = isalnum((unsigned char)*name);
    for (const char *p = name; *p; p++)
        good = good && (isalnum((unsigned char)*p) || strchr(".+:=~_-/@<>", *p));
    return good ? 0
                : mv_fail(err, MICROVM_E_INVALID, "install: '%s' is no package's name",
                          mv_str_show(shown, name));
}

int mv_build_run_check(const microvm_recipe *recipe,
                       const microvm_image_options *options, microvm_error *err)
{
    const char *key = recipe->install.count ? "install" : "run";
    if (!recipe->install.count && !recipe->run.count)
        return 0;
    for (unsigned i = 0; i < recipe->install.count; i++) {
        int rc = run_check_package(recipe->install.text[i], err);
        if (rc)
            return rc;
    }
    if (strcmp(recipe->arch, MV_HOST_ARCH) != 0)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "%s: a machine of %s runs nothing of %s; build it on such a "
                       "computer",
                       key, MV_HOST_ARCH, recipe->arch);
    if (!options->kernel || !options->initrd)
        return mv_fail(
            err, MICROVM_E_INVALID, "%s: it runs in a machine, and there is no %s", key,
            options->kernel
                ? "microvm-init.cpio, which enters the image"
                : "kernel for it: 'microvm-build kernel' makes one, once; or "
                  "name one with --kernel FILE");
    return 0;
}

/* ---- what is run ----------------------------------------------------------------- */

/* What the package managers leave that no two runs have alike: indexes, archives, logs,
 * caches, copies of what was there before. */
#define FORGET                                                                    \
    "rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/* "     \
    "/var/cache/apt/*.bin /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log "   \
    "/var/log/alternatives.log /var/log/apk.log /var/log/fontconfig.log "         \
    "/var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old " \
    "/var/cache/apk/* /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- "       \
    "/etc/subuid- /etc/subgid-\n"

struct installer {
    const char *path[3]; /* where its program may be */
    const char *script;  /* "$@" are the packages */
};

static const struct installer installers[] = {
    {{"usr/bin/apt-get", "bin/apt-get"},
     "set -e\nexport DEBIAN_FRONTEND=noninteractive\n"
     "apt-get -q -o APT::Sandbox::User=root update\n"
     "apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "
     "--no-install-recommends install \"$@\"\n" FORGET},
    {{"sbin/apk", "usr/sbin/apk", "usr/bin/apk"},
     "set -e\napk add --no-cache \"$@\"\n" FORGET},
};

static const struct installer *run_installer(const struct mv_tree *tree)
{
    for (unsigned i = 0; i < MV_ARRAY_LEN(installers); i++)
        for (unsigned k = 0; k < MV_ARRAY_LEN(installers[i].path); k++)
            if (installers[i].path[k] &&
                mv_tree_find(tree, installers[i].path[k], NULL))
                return &installers[i];
    return NULL;
}

struct environment {
    const char **text; /* ends with NULL */
    size_t count;
};

/* Unless it names what is set already. */
static void environment_add(struct environment *env, const char *variable)
{
    size_t length = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < env->count; i++)
        if (!strncmp(env->text[i], variable, length))
            return;
    env->text[env->count++] = variable;
}

/* The recipe's word before the base's before ours; the epoch is what programs take for
 * the time that they write down (reproducible-builds.org/specs/source-date-epoch). */
static int environment_make(const struct mv_build *build, const char *epoch,
                            struct environment *env, microvm_error *err)
{
    static const char *const ours[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root", "LC_ALL=C.UTF-8"};
    const struct mv_texts *own = &build->recipe->env, *base = &build->image.env;
    env->text = calloc((size_t)own->count + base->count + MV_ARRAY_LEN(ours) + 2,
                       sizeof *env->text);
    if (!env->text)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (unsigned i = own->count; i > 0; i--) /* the last one counts */
        environment_add(env, own->text[i - 1]);
    for (unsigned i = base->count; i > 0; i--)
        environment_add(env, base->text[i - 1]);
    environment_add(env, epoch);
    for (unsigned i = 0; i < MV_ARRAY_LEN(ours); i++)
        environment_add(env, ours[i]);
    return 0;
}

static int run_install(const struct mv_build *build, struct mv_guest *guest,
                       const char *const *env, microvm_error *err)
{
    const struct mv_texts *packages = &build->recipe->install;
    const char **argv = calloc((size_t)packages->count + 5, sizeof *argv);
    if (!argv)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    argv[0] = argv[3] = "/bin/sh";
    argv[1] = "-c";
    argv[2] = run_installer(&build->tree)->script;
    for (unsigned i = 0; i < packages->count; i++)
        argv[4 + i] = packages->text[i];
    int rc = mv_guest_run(guest, "install", argv, env, err);
    free(argv);
    return rc;
}

static int run_commands(const struct mv_build *build, struct mv_guest *guest,
                        const char *const *env, microvm_error *err)
{
    const struct mv_texts *run = &build->recipe->run;
    char shown[MV_STR_SHOWN], what[MV_STR_SHOWN + 16];
    int rc = build->recipe->install.count ? run_install(build, guest, env, err) : 0;
    for (unsigned i = 0; !rc && i < run->count; i++) {
        const char *argv[] = {"/bin/sh", "-c", run->text[i], NULL};
        (void)snprintf(what, sizeof what, "run: '%s'",
                       mv_str_show(shown, run->text[i]));
        rc = mv_guest_run(guest, what, argv, env, err);
    }
    return rc;
}

static int run_in_machine(const struct mv_build *build, int disk, microvm_error *err)
{
    struct environment env = {NULL, 0};
    struct mv_guest *guest = NULL;
    char path[64], epoch[EPOCH_TEXT];
    (void)snprintf(epoch, sizeof epoch, "SOURCE_DATE_EPOCH=%lld",
                   (long long)mv_build_epoch(build));
    mv_files_path_of(disk, path, sizeof path);
    int rc = environment_make(build, epoch, &env, err);
    if (!rc)
        rc = mv_guest_start(build->options, path, &build->progress, &guest, err);
    if (!rc)
        rc = run_commands(build, guest, env.text, err);
    if (!rc)
        rc = mv_guest_end(guest, err);
    mv_guest_free(guest);
    free(env.text);
    return rc;
}

/* ---- what has become of the tree ------------------------------------------------- */

/* Times that the run has set. Bases and packages have whole seconds, so one that a
 * clock has set is known even within the second in which the base was made. */
static void run_settle_times(struct mv_tree *now, const struct mv_tree *before,
                             int64_t started_s, int64_t epoch_s)
{
    struct mv_walk walk;
    (void)mv_tree_number(now);
    mv_walk_begin(&walk, now);
    while (mv_walk_next(&walk)) {
        if (walk.again || walk.node->mtime_s < started_s - CLOCK_SLACK_S)
            continue;
        const struct mv_node *old = mv_tree_find(before, walk.path, NULL);
        if (walk.node->mtime_fraction || !old || old->mtime_s != walk.node->mtime_s)
            walk.node->mtime_s = epoch_s;
    }
}

/* Where the machine mounts something, or Linux finds something. */
static int run_settle_places(struct mv_tree *now, const struct mv_tree *before,
                             microvm_error *err)
{
    static const char *const places[] = {"proc", "sys", "dev",       "run",
                                         "tmp",  "etc", "lost+found"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(places); i++) {
        const struct mv_node *node = mv_tree_find(now, places[i], NULL);
        if (!node || node->type != MV_NODE_DIRECTORY || node->children ||
            mv_tree_find(before, places[i], NULL))
            continue;
        int rc = mv_tree_whiteout(now, places[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

/* The machine's own; the image gets back what it had. */
static int run_settle_resolver(struct mv_tree *now, const struct mv_tree *before,
                               microvm_error *err)
{
    static const char path[] = "etc/resolv.conf";
    const struct mv_node *old = mv_tree_find(before, path, NULL);
    const struct mv_node *folder = mv_tree_find(now, "etc", NULL);
    int rc = mv_tree_whiteout(now, path, err);
    if (rc || !old || !folder || folder->type != MV_NODE_DIRECTORY ||
        (old->type != MV_NODE_FILE && old->type != MV_NODE_SYMLINK))
        return rc;
    struct mv_node *node = mv_node_new(old->type);
    if (!node)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    node->mode = old->mode;
    node->uid = old->uid;
    node->gid = old->gid;
    node->mtime_s = old->mtime_s;
    node->offset = old->offset;
    node->size_bytes = old->size_bytes;
    if (old->target && !(node->target = strdup(old->target))) {
        mv_node_free(node);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    }
    return mv_tree_put(now, path, node, err);
}

/* Into a tree that takes the old one's place. Contents of the old stay in the store
 * until the end, and are not counted. */
static int run_read_back(struct mv_build *build, int disk, int64_t started_s,
                         microvm_error *err)
{
    struct mv_tree now;
    int rc = mv_tree_init(&now, err);
    if (rc)
        return rc;
    now.entries_max = build->tree.entries_max;
    build->store.bytes_max += build->store.used;
    rc = mv_read_ext4(&now, &build->store, disk, build->recipe->devices,
                      &build->progress, err);
    now.layer++; /* what is put and removed now is ours */
    if (!rc)
        rc = run_settle_resolver(&now, &build->tree, err);
    if (!rc)
        rc = run_settle_places(&now, &build->tree, err);
    if (rc) {
        mv_tree_done(&now);
        return rc;
    }
    run_settle_times(&now, &build->tree, started_s, mv_build_epoch(build));
    mv_tree_done(&build->tree);
    build->tree = now;
    return 0;
}

/* ---- all of it ------------------------------------------------------------------- */

static int run_write_disk(struct mv_build *build, int disk, microvm_error *err)
{
    const microvm_recipe *recipe = build->recipe;
    struct mv_write w = {.tree = &build->tree,
                         .store = &build->store,
                         .format = MV_FORMAT_EXT4,
                         .size_bytes = recipe->size_bytes,
                         .no_journal = true,
                         .epoch_s = mv_build_epoch(build),
                         .progress = &build->progress};
    if (!w.size_bytes)
        w.size_bytes = mv_write_ext4_bytes(&build->tree) + ROOM_BYTES;
    return mv_write_ext4(&w, disk, err);
}

int mv_build_run(struct mv_build *build, microvm_error *err)
{
    const microvm_recipe *recipe = build->recipe;
    int disk = -1;
    if (!recipe->install.count && !recipe->run.count)
        return 0;
    if (recipe->install.count && !run_installer(&build->tree))
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "install: the base has neither apt-get nor apk, which do it; "
                       "Debian's has one, Alpine's the other");
    int rc = mv_files_scratch(build->folder, &disk, err);
    if (rc)
        return rc;
    rc = run_write_disk(build, disk, err);
    int64_t started_s = mv_files_now_s();
    if (!rc)
        rc = run_in_machine(build, disk, err);
    if (!rc)
        rc = run_read_back(build, disk, started_s, err);
    mv_files_close(disk);
    return rc;
}
