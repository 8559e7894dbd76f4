/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-build kernel: runs guest/kernel/build.sh, which makes the guest kernel, and
 * shows how far it is. The shell knows how a kernel is built; nothing of it is here.
 */
#include "bar.h"
#include "build.h"
#include "child.h"
#include "places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64 };

struct kernel {
    struct bar bar;
    uint64_t steps, total;
    char result[PLACE_BYTES];
    bool told; /* what is wrong has been said */
};

/* ---- what the script says ------------------------------------------------------- */

static const char *after(const char *line, const char *begin)
{
    size_t length = strlen(begin);
    return strncmp(line, begin, length) ? NULL : line + length;
}

static void kernel_line(void *opaque, const char *line)
{
    struct kernel *k = opaque;
    const char *text;
    if ((text = after(line, "! "))) {
        bar_end(&k->bar);
        say("kernel: %s", text);
        k->told = true;
    } else if ((text = after(line, "= total "))) {
        k->total = strtoull(text, NULL, 10);
    } else if ((text = after(line, "= done "))) {
        k->steps = k->bar.begun = strtoull(text, NULL, 10);
    } else if ((text = after(line, "= doing "))) {
        k->steps = k->total = 0;
        bar_show(&k->bar, text, 0, 0);
    } else if ((text = after(line, "= kernel ")) || (text = after(line, "= config "))) {
        (void)snprintf(k->result, sizeof k->result, "%s", text);
    } else if (after(line, "  ")) {
        k->steps++; /* the total is an estimate: it is not reached before the end */
        bar_show(&k->bar, "compiling", k->steps,
                 k->total > k->steps ? k->total : k->steps + 1);
    }
}

/* ---- what it is told ------------------------------------------------------------ */

/* The flags that the script has too. */
static const char *passed_on(const char *name)
{
    static const char *const flags[] = {"--arch",   "--variant",  "--jobs",
                                        "--source", "--output",   "--config",
                                        "--update", "--configure"};
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (!strcmp(name, flags[i] + 2))
            return flags[i];
    return NULL;
}

static bool is_one_of(const struct args *args, const char *name,
                      const char *const choices[])
{
    const char *value = args_get(args, name);
    if (!value)
        return true;
    for (unsigned i = 0; choices[i]; i++)
        if (!strcmp(value, choices[i]))
            return true;
    const char *nearest = microvm_nearest(value, choices);
    say("--%s: '%s' is none of %s and %s%s%s%s", name, value, choices[0], choices[1],
        nearest ? ": did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return false;
}

static bool kernel_check(const struct args *args)
{
    static const char *const archs[] = {"x86_64", "arm64", NULL};
    static const char *const variants[] = {"default", "fast", NULL};
    const char *jobs = args_get(args, "jobs");
    if (!is_one_of(args, "arch", archs) || !is_one_of(args, "variant", variants))
        return false;
    if (!jobs || (strspn(jobs, "0123456789") == strlen(jobs) && strlen(jobs) < 5 &&
                  strtoul(jobs, NULL, 10) > 0))
        return true;
    say("--jobs: '%s' is no number from 1 to 9999", jobs);
    return false;
}

static bool kernel_words(const struct args *args, const char *words[WORDS_MAX])
{
    unsigned n = 0;
    while (words[n])
        n++;
    for (int i = 0; i < args->use_count; i++) {
        const char *flag = passed_on(args->uses[i].own->name);
        if (n + 3 > WORDS_MAX) {
            say("too many flags");
            return false;
        }
        if (flag)
            words[n++] = flag;
        if (flag && args->uses[i].value)
            words[n++] = args->uses[i].value;
    }
    return true;
}

/* ---- the command ---------------------------------------------------------------- */

static int kernel_end(struct kernel *k, int status)
{
    bar_end(&k->bar);
    if (status == 0 && *k->result) {
        (void)printf("%s\n", k->result);
        return finish(0);
    }
    if (status > 128)
        say("kernel: stopped; the same command goes on from here");
    else if (!k->told)
        say("kernel: build.sh ended with status %d and said nothing", status);
    return status > 128 ? status : STATUS_OURS;
}

static int kernel_run(const struct args *args)
{
    struct kernel k = {.steps = 0};
    char script[PLACE_BYTES], cache[PLACE_BYTES];
    if (!kernel_check(args))
        return STATUS_OURS;
    if (!place_of_data("kernel/build.sh", script)) {
        say("kernel: kernel/build.sh is not installed beside this program (looked in "
            "share/microvm); MICROVM_DATA can name its folder");
        return STATUS_OURS;
    }
    if (!place_in_cache("kernels", cache)) {
        say("kernel: there is no place for it: set HOME or XDG_CACHE_HOME");
        return STATUS_OURS;
    }
    const char *words[WORDS_MAX] = {"bash", script, "--cache", cache};
    if (!kernel_words(args, words))
        return STATUS_OURS;
    bar_begin(&k.bar, args_get(args, "quiet") != NULL);
    k.bar.unit = "steps";
    return kernel_end(&k, child_run(words, kernel_line, &k));
}

static const struct flag kernel_flags[] = {
    {"arch", 0, "x86_64|arm64", "What the kernel is for (default: x86_64)"},
    {"variant", 0, "default|fast",
     "default: what distributions, VPNs and containers ask for; fast: one program, "
     "started soonest"},
    {"source", 0, "FILE|DIR",
     "The Linux source: a tarball, or a clean source tree; without, Debian's package "
     "linux-source-6.12 is fetched once"},
    {"config", 0, "FILE",
     "Lines of the kernel's configuration over ours (CONFIG_X=y, CONFIG_Y=n); "
     "repeatable"},
    {"output", 'o', "DIR", "Write vmlinux and vmlinuz there too"},
    {"jobs", 'j', "N", "Compile so many files at once (default: one for each CPU)"},
    {"update", 0, NULL, "Look for a newer linux-source-6.12"},
    {"configure", 0, NULL,
     "Compile nothing: check that the source takes the configuration, and print the "
     "name of the .config"},
    {"quiet", 'q', NULL, "Say nothing but errors"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_kernel = {
    .name = "kernel",
    .usage = "[OPTIONS]",
    .summary = "Make a guest kernel, once, and print the name of its folder",
    .details =
        "Examples:\n"
        "  microvm-build kernel                  # what 'microvm run' takes by itself\n"
        "  microvm-build kernel --variant fast --output .\n"
        "  microvm-build kernel --source linux-6.12.60.tar.xz --config mine.config\n"
        "  microvm-build kernel --arch arm64 -j 8\n\n"
        "It takes some minutes, 2 GB of disk meanwhile, and no root. An interrupted\n"
        "build goes on where it was; a finished one is kept in the user's cache, under\n"
        "the digest of what it was made of, and the same command returns at once.\n",
    .flags = kernel_flags,
    .run = kernel_run,
};
