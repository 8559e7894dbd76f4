# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests of tools/check.py: each rule catches a bad sample and leaves a good one alone."""
import importlib.util
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
CHECK = os.path.join(ROOT, "tools", "check.py")
spec = importlib.util.spec_from_file_location("check", CHECK)
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)

TOP = "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n/* Holds one idea. */\n"
ARCHITECTURE = "util/ os/ core/ arch/ hv/ kvm/ chip/ backing/ virtio/ machine/ api/ linux/\n"


def findings(tmp_path, files):
    files = dict({"docs/architecture.md": ARCHITECTURE}, **files)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    count, found = check.check(str(tmp_path))
    assert count == len(files)
    return found


def function(lines):
    return TOP + "int f(void)\n{\n" + "    f();\n" * (lines - 2) + "}\n"


def nested(depth):
    return (TOP + "int f(void)\n{\n" + "if (x) {\n" * (depth - 1) + "f();\n"
            + "}\n" * (depth - 1) + "}\n")


BAD = [
    # (rule's words, file, text, line)
    ("util may not include os", "src/util/a.c", TOP + '#include "os/mem.h"\n', 3),
    ("core may not include virtio", "src/core/a.c", TOP + '#include "virtio/vdev.h"\n', 3),
    ("chip may not include hv", "src/chip/a.h", TOP + '#include "hv/hv.h"\n', 3),
    ("virtio may not include hv", "src/virtio/a.c", TOP + '# include "hv/hv.h"\n', 3),
    ("hv may not include machine", "src/hv/kvm/a.c", TOP + '#include "machine/m.h"\n', 3),
    ("api may not include hv", "src/api/a.c", TOP + '#include "hv/hv.h"\n', 3),
    ("includes the library's internals", "cli/a.c", TOP + '#include "util/err.h"\n', 3),
    ("includes the library's internals", "examples/a.c", TOP + '#include "os/mem.h"\n', 3),
    ("is no layer", "src/hal/a.c", TOP + "#include <stdint.h>\n", 3),
    ("goes upwards", "src/os/a.c", TOP + '#include "../util/err.h"\n', 3),
    ("<unistd.h> is a system header", "src/core/a.c", TOP + "#include <unistd.h>\n", 3),
    ("<sys/mman.h> is a system", "src/virtio/a.c", TOP + "#include <sys/mman.h>\n", 3),
    ("<linux/kvm.h> is a system", "src/hv/a.c", TOP + "#include <linux/kvm.h>\n", 3),
    ("<windows.h> is a system", "src/backing/disk_a.c", TOP + "#include <windows.h>\n", 3),
    ("<uv.h> is a system header", "src/machine/a.c", TOP + "#include <uv.h>\n", 3),
    ("#if on __linux__", "src/core/a.c", TOP + "#ifdef __linux__\n#endif\n", 3),
    ("#if on _WIN32", "src/hv/kvm/a.c", TOP + "#if defined(_WIN32)\n#endif\n", 3),
    ("#if on __APPLE__", "cli/a.c", TOP + "#if 0\n#elif __APPLE__\n#endif\n", 4),
    ("a function of 71 lines", "src/core/a.c", function(71), 4),
    ("501 lines, at most 500", "tests/unit/a.c", TOP + "\n" * 499, 501),
    ("blocks nest 5 deep", "src/core/a.c", nested(5), 8),
    ("no licence line", "src/core/a.c", "/* Holds one idea. */\n", 1),
    ("no licence line", "tools/a.sh", "#!/bin/sh\n", 1),
    ("no licence line", "include/microvm/a.h", "/* SPDX: MIT */\n", 1),
    ("no first comment", "src/core/a.c", TOP.split("\n")[0] + "\nint f(void);\n", 2),
    ("static mutable state", "src/core/a.c", TOP + "static int count;\n", 3),
    ("static mutable state", "src/core/a.c", TOP + "static struct s {\n} a;\n", 3),
    ("static mutable state", "src/core/a.c", TOP + "static int table[] = {1};\n", 3),
    ("static mutable state", "src/core/a.c", TOP + "static const char *name;\n", 3),
    ("static mutable state", "src/core/a.c", TOP + "static const char *n[] = {0};\n", 3),
    ("static mutable state", "src/core/a.c", TOP + "static void (*hook)(int);\n", 3),
    ("static mutable state", "src/core/a.c", TOP + "_Thread_local int last;\n", 3),
    ("static mutable state", "src/core/a.c",
     TOP + "int f(void)\n{\n    static int n = 0;\n    return n++;\n}\n", 5),
    ("a global variable", "src/core/a.c", TOP + "int count;\n", 3),
    ("a global variable", "src/core/a.c", TOP + "struct s *list = 0;\n", 3),
    ("a global variable", "src/core/a.c", TOP + "#include <stdint.h>\nint n[3];\n", 4),
    ("TO" "DO - finish", "docs/a.md", "TO" "DO: write\n", 1),
    ("FIX" "ME - finish", "src/core/a.c", TOP + "/* FIX" "ME */\n", 3),
    ("X" "XX - finish", "tools/a.py", "# " + TOP.split("\n")[0] + "\n# X" "XX\n", 2),
    ("trailing white space", "README.md", "a\nb \n", 2),
    ("trailing white space", "Makefile", "a:\t\n", 1),
    ("CR LF", "README.md", "a\r\n", 1),
    ("a tab", "src/core/a.c", TOP + "int\tf(void);\n", 3),
    ("no line end", "README.md", "a", 1),
    ("a path of somebody's machine", "README.md", "see /wo" "rk/main/x\n", 1),
    ("is not on the map", "src/core/strange/a.c", TOP, 1),
    ("does not compile alone as C99", "include/microvm/a.h", TOP + "uint8_t f(void);\n", 3),
    ("does not compile alone as C++11", "include/microvm/a.h",
     TOP + "int f(int class);\n", 3),
]

CALLS = ["exit(1)", "_exit(1)", "abort()", "assert(x)", "signal(1, h)", "sigaction(1, a, b)",
         "system(s)", "popen(s, m)", 'printf("x")', 'fprintf(stderr, "x")', 'puts("x")',
         "perror(s)", "sprintf(b, s)", "strcpy(a, b)", "strcat(a, b)", "atoi(s)", "gets(b)",
         "chdir(d)", "setlocale(0, s)", "getenv(n)", "alloca(9)", "sscanf(s, f)",
         "uv_spawn(l, p, o)", "uv_signal_init(l, s)", "uv_queue_work(l, w, a, b)",
         "uv_fs_open(l, r, p, 0, 0, 0)", "exit (1)", "x = atoi(s)", "strtok(a, b)"]

GOOD = {
    "src/core/a.c": TOP + """#include "core/a.h"
#include "os/mem.h"
#include "util/err.h"

#include <stdint.h>

#define WIDE 3
struct opaque;
extern const int shared;
const int shared = 1;
typedef int number;
static const char *const names[] = {"exit(1)", "static int x;"};
static const struct {
    int a;
} table[] = {{1}};
static int (*const hooks[])(void) = {0};
static int helper(void);
static inline int small(void)
{
    return 1; /* never abort() here: printf("//") */
}

__attribute__((format(printf, 1, 2))) void mv_say(const char *fmt, ...);

int f(struct vm *vm)
{
    static const int limit = 3;
    int exit_code = vm->exit(1) + vm->ops.signal(2) + mv_exit(3) + limit;
    struct pair p[] = {{{1, 2}, {3, 4}}};
    for (int i = 0; i < 3; i++) {
        if (i) {
            do {
                f(vm);
            } while (0);
        }
    }
    return helper() + exit_code;
}
""",
    "src/os/linux/a.c": TOP + "#include <sys/mman.h>\n#include <uv.h>\n#ifdef __linux__\n#endif\n",
    "src/hv/kvm/a.c": TOP + '#include "arch/x86/regs.h"\n#include <linux/kvm.h>\n',
    "src/backing/net_tap.c": TOP + "#include <linux/if_tun.h>\n",
    "src/virtio/a.c": TOP + '#include "backing/disk.h"\n',
    "src/arch/a.c": TOP + "#if defined(__x86_64__)\n#endif\n",
    "src/chip/limit.c": function(70),
    "src/chip/deep.c": nested(4),
    "src/api/a.c": TOP + '#include "machine/m.h"\n#include <microvm/microvm.h>\n',
    "cli/a.c": TOP + "#include <microvm/microvm.h>\n#include <unistd.h>\nstatic int flag;\n",
    "include/microvm/microvm.h": TOP + "#ifdef _WIN32\n#endif\nint microvm_f(void);\n",
    "tools/a.sh": "#!/bin/sh\n# SPDX-License-Identifier: MIT OR Apache-2.0\nmktemp a.XXXXXX\n",
    "Makefile": "all:\n\ttrue\n",
}


@pytest.mark.parametrize("words,path,text,line", BAD,
                         ids=["%s in %s" % b[:2] + "-%d" % i for i, b in enumerate(BAD)])
def test_bad_sample_is_found(tmp_path, words, path, text, line):
    found = [f for f in findings(tmp_path, {path: text}) if words in f[2]]
    assert found, "nothing found"
    assert found[0][:2] == (path, line)
    assert " - " in found[0][2], "the message does not say how to mend it"


@pytest.mark.parametrize("call", CALLS)
def test_banned_call_is_found(tmp_path, call):
    text = TOP + "int f(void)\n{\n    %s;\n}\n" % call
    name = re.search(r"([\w]+) ?\(", call).group(1)
    found = findings(tmp_path, {"src/core/a.c": text})
    assert [(f[0], f[1]) for f in found] == [("src/core/a.c", 5)]
    assert found[0][2].startswith(name + "() is banned")
    assert findings(tmp_path, {"src/core/a.c": TOP, "tests/unit/a.c": text}) == []


def test_good_tree_has_no_findings(tmp_path):
    assert findings(tmp_path, GOOD) == []


def test_map_of_folders_is_needed(tmp_path):
    (tmp_path / "src" / "core").mkdir(parents=True)
    (tmp_path / "src" / "core" / "a.c").write_text(TOP)
    assert [f[0] for f in check.check(str(tmp_path))[1]] == ["docs/architecture.md"]


def test_conformance_names_what_exists(tmp_path):
    table = "| R1 | x | works | `src/core/a.c`, `make test`, `tests/unit/gone.c` |\n"
    found = findings(tmp_path, {"src/core/a.c": TOP, "docs/conformance.md": table})
    assert [(f[0], f[1]) for f in found] == [("docs/conformance.md", 1)]
    assert found[0][2].startswith("tests/unit/gone.c does not exist")


def test_conformance_counts_its_rows(tmp_path):
    table = "Now: 2 works, 1 partly, 0 not yet.\n\n| R001 | a | b | works | x |\n| R002 | c | partly | |\n"
    found = findings(tmp_path, {"docs/conformance.md": table})
    assert [(f[0], f[1], f[2]) for f in found] == [
        ("docs/conformance.md", 1, "1 rows are 'works' - write their number here")]


def test_program_tells_file_and_line_and_fails(tmp_path):
    (tmp_path / "README.md").write_text("a \n")
    r = subprocess.run([sys.executable, CHECK, str(tmp_path)], stdout=subprocess.PIPE)
    assert r.returncode == 1
    assert r.stdout.decode().startswith("README.md:1: trailing white space - remove it\n")
    (tmp_path / "README.md").write_text("a\n")
    assert subprocess.run([sys.executable, CHECK, str(tmp_path)],
                          stdout=subprocess.DEVNULL).returncode == 0
