#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The rules of CONTRIBUTING.md that a machine can check, in under a second.

Usage: check.py [ROOT]

Each message is FILE:LINE: what is wrong, and after a dash how to mend it. A rule is a
function that yields (path, line, message); RULES lists them. The tests of the rules are
in tests/tools/test_check.py: a rule without a bad sample there does not count.
"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FUNCTION_LINES = 70
FILE_LINES = 500
BLOCK_DEPTH = 4

# Who may include whom; every layer may include itself and the public headers.
LAYERS = {
    "proto": set(),
    "util": set(),
    "os": {"util"},
    "core": {"util", "os"},
    "pci": {"util", "os", "core"},
    "arch": {"util", "os", "core"},
    "hv": {"util", "os", "core", "arch"},
    "chip": {"util", "os", "core"},
    "backing": {"proto", "util", "os", "core"},
    "virtio": {"util", "os", "core", "pci", "backing"},
    "machine": {"proto", "util", "os", "core", "pci", "arch", "hv", "chip", "backing", "virtio"},
    "copy": {"proto", "util", "os"},
    "api": {"proto", "util", "os", "core", "machine", "copy"},
    "runtime": {"proto", "util", "os"}, # of the public headers, and nothing else of the machine
    "image": {"util", "os"},
}
STANDARD_HEADERS = set("""assert.h ctype.h errno.h float.h inttypes.h limits.h math.h
stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
stdnoreturn.h string.h time.h""".split())
LIBRARY_HEADERS = {"jansson.h", "liburing.h", "archive.h", "archive_entry.h"}
IMAGE_HEADERS = re.compile(r"(archive|archive_entry)\.h|(openssl|curl|sqfs|ext2fs|et)/\w+\.h")
SYSTEM_PLACES = re.compile(r"src/(os/|hv/[^/]+/|backing/net_)|image/\w+_posix\.c")
OS_MACROS = re.compile(
    r"\b(_WIN32|_WIN64|WIN32|__CYGWIN__|__MINGW\w+|_MSC_VER|__linux__|__linux|linux"
    r"|__APPLE__|__MACH__|__unix__|__FreeBSD__|__OpenBSD__|__NetBSD__)\b")

TO_ERROR = "return an error with mv_fail()"
BANNED = {
    "exit": TO_ERROR, "_exit": TO_ERROR, "_Exit": TO_ERROR, "quick_exit": TO_ERROR,
    "atexit": "free in the handle's _free function",
    "abort": TO_ERROR + ", or use MV_ASSERT for our own invariants",
    "assert": "use MV_ASSERT for our own invariants, mv_fail() for all else",
    "signal": "signal handlers belong to the application",
    "sigaction": "signal handlers belong to the application",
    "system": "start no shell", "popen": "start no shell",
    "printf": "standard streams are the application's: use mv_log",
    "vprintf": "standard streams are the application's: use mv_log",
    "fprintf": "standard streams are the application's: use mv_log",
    "vfprintf": "standard streams are the application's: use mv_log",
    "perror": "standard streams are the application's: use mv_fail_os()",
    "puts": "standard streams are the application's: use mv_log",
    "fputs": "standard streams are the application's: use mv_log",
    "putchar": "standard streams are the application's: use mv_log",
    "sprintf": "use snprintf", "vsprintf": "use vsnprintf",
    "strcpy": "use a copy that knows the size", "stpcpy": "use a copy that knows the size",
    "strcat": "use a copy that knows the size", "strncpy": "it may leave no end: use snprintf",
    "gets": "use a read that knows the size",
    "atoi": "it hides errors: parse and check", "atol": "it hides errors: parse and check",
    "sscanf": "it overflows silently: parse and check",
    "chdir": "the working directory is the application's",
    "setlocale": "the locale is the application's",
    "getenv": "the environment is the application's: make it a setting",
    "setenv": "the environment is the application's", "putenv": "use no environment",
    "alloca": "sizes are limits known beforehand: use an array or the heap",
    "strtok": "it keeps global state", "strerror": "it is not thread-safe: use mv_fail_os()",
    "rand": "use the entropy source of os/", "srand": "use the entropy source of os/",
    "uv_spawn": "it installs a SIGCHLD handler in the application",
    "uv_queue_work": "libuv's pool is shared by the whole process: use our own",
}
BANNED_PREFIXES = {
    "uv_signal_": "signal handlers belong to the application",
    "uv_fs_": "libuv's pool is shared by the whole process: use os/file.h",
}
# Exceptions: (path, what) -> why. Keep it short; a reviewer reads each.
EXCEPTIONS = {
    ("src/util/err.h", "__MINGW32__"): "the printf attribute has another name there",
}

THIS_PLACE = re.compile(r"/(?:work|farm)/[\w.]")
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
C_NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
TEXT = re.compile(r"(\.(c|h|S|py|sh|md|rst|txt|ini|wrap|build|options|json|yml|yaml|def"
                  r"|map|toml|ld|in|1)|Makefile|\.clang-format|\.gitignore|/run)$")
CODE = re.compile(r"\.(c|h|S|py|sh)$")


class Source:
    """One text file: its lines, and for C the code without comments and strings."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace",
                  newline="") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        self.is_c = path.endswith((".c", ".h"))
        self.code = C_NOISE.sub(blank, self.text) if self.is_c else ""
        self.code_lines = self.code.split("\n")
        self.script = self.text.startswith("#!")

    def within(self, *places):
        return self.path.startswith(places)

    def line_of(self, offset):
        return self.code.count("\n", 0, offset) + 1

    def excepted(self, what):
        return (self.path, what) in EXCEPTIONS


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def list_files(root):
    r = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if r.returncode == 0:
        names = set(r.stdout.decode().splitlines())
    else:  # a tarball
        names = {os.path.relpath(os.path.join(d, f), root)
                 for d, _, files in os.walk(root) for f in files}
    skip = re.compile(r"^(LICENSE|build|tests/fuzz/corpus/|subprojects/[^/]+/(?!meson))")
    return sorted(n for n in names if TEXT.search("/" + n) and not skip.search(n)
                  and os.path.isfile(os.path.join(root, n)))


# ---- rules on one file ----


def includes(src):
    for i, line in enumerate(src.code_lines):
        if re.match(r"\s*#\s*include\b", line):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', src.lines[i])
            if m:
                yield i + 1, m.group(1), m.group(2)


def rule_layers(src):
    if not (src.is_c and src.within("src/", "image/", "cli/", "examples/")):
        return
    layer = src.path.split("/")[1] if src.within("src/") else None
    if src.within("image/"):
        layer = "image"
    for line, kind, name in includes(src):
        first = name.split("/")[0]
        if layer is None:
            if first in LAYERS and "/" in name:
                yield (src.path, line, "%s includes the library's internals (%s) - use "
                       "the public headers, <microvm/...>" % (src.path.split("/")[0], name))
            continue
        if layer not in LAYERS:
            yield (src.path, line, "folder src/%s is no layer - see docs/architecture.md,"
                   " section 3; a new one is added to LAYERS in tools/check.py" % layer)
            return
        if ".." in name.split("/"):
            yield (src.path, line, "'%s' goes upwards - include by the path from src/" % name)
        elif "/" in name and first in LAYERS and first != layer:
            if first not in LAYERS[layer]:
                yield (src.path, line, "%s may not include %s (%s) - allowed are: %s"
                       % (layer, first, name, " ".join(sorted(LAYERS[layer])) or "none"))


def rule_system_headers(src):
    places = ("src/", "image/", "include/")
    if not (src.is_c and src.within(*places)) or SYSTEM_PLACES.match(src.path):
        return
    for line, kind, name in includes(src):
        known = name in STANDARD_HEADERS | LIBRARY_HEADERS or name.startswith("microvm/")
        known = known or src.within("image/") and IMAGE_HEADERS.fullmatch(name)
        if kind == "<" and not known and not src.excepted(name):
            yield (src.path, line, "<%s> is a system header - put what needs it behind a"
                   " function of src/os/" % name)


def rule_os_conditionals(src):
    if not (src.is_c and src.within("src/", "image/", "include/", "cli/", "examples/")):
        return
    if src.within("src/os/"):
        return
    for i, line in enumerate(src.code_lines):
        if not re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line):
            continue
        for m in OS_MACROS.finditer(line):
            what = m.group()
            if src.excepted(what) or src.within("include/") and what == "_WIN32":
                continue  # public headers mark their imports for Windows
            yield (src.path, i + 1, "#if on %s - platforms are folders: move it to"
                   " src/os/ or to a file that meson.build chooses" % what)


BANNED_CALL = re.compile(
    r"(?<![\w.>])(%s|(?:%s)\w+)\s*\("
    % ("|".join(sorted(BANNED, key=len, reverse=True)), "|".join(BANNED_PREFIXES)))


def rule_banned_calls(src):
    if not (src.is_c and src.within("src/", "image/")):
        return
    for m in BANNED_CALL.finditer(src.code):
        name = m.group(1)
        why = BANNED.get(name)
        for prefix, text in BANNED_PREFIXES.items():
            if name.startswith(prefix):
                why = text
        if not src.excepted(name):
            yield (src.path, src.line_of(m.start()), "%s() is banned here - %s"
                   % (name, why))


def functions(src):
    """(first line, last line) of each body; clang-format puts both braces in column 0."""
    start = None
    for i, line in enumerate(src.code_lines):
        if start is None and line.startswith("{"):
            start = i
        elif start is not None and line.startswith("}"):
            yield start, i
            start = None


def rule_sizes(src):
    if not src.is_c:
        return
    if len(src.lines) - 1 > FILE_LINES and not src.within("include/"):
        yield (src.path, len(src.lines) - 1, "%d lines, at most %d - a file holds one"
               " idea: split it by ideas" % (len(src.lines) - 1, FILE_LINES))
    for first, last in functions(src):
        if last - first + 1 > FUNCTION_LINES:
            yield (src.path, first + 1, "a function of %d lines, at most %d - give its"
                   " steps names" % (last - first + 1, FUNCTION_LINES))


def rule_nesting(src):
    if not (src.is_c and src.within("src/", "image/", "cli/")):
        return
    for first, last in functions(src):
        body = "\n".join(src.code_lines[first:last + 1])
        stack, told = [], False
        for m in re.finditer(r"[{}]", body):
            if m.group() == "}":
                if stack:
                    stack.pop()
                continue
            before = body[:m.start()].rstrip()
            block = not before or before.endswith((")", ";", "{", "}", ":")) or bool(
                re.search(r"\b(else|do)$", before))
            stack.append(block and not before.endswith(("=", ",")))
            depth = sum(stack)
            if depth > BLOCK_DEPTH and not told:
                told = True
                line = first + 1 + body.count("\n", 0, m.start())
                yield (src.path, line, "blocks nest %d deep, at most %d - return early or"
                       " name the inner part" % (depth, BLOCK_DEPTH))


def rule_header_comment(src):
    if not (CODE.search(src.path) or src.script):
        return
    if not any("SPDX-License-Identifier: MIT OR Apache-2.0" in t for t in src.lines[:3]):
        yield (src.path, 1, "no licence line - begin with:"
               " SPDX-License-Identifier: MIT OR Apache-2.0")
    elif src.is_c and src.within("src/", "image/", "cli/", "examples/", "include/", "tests/"):
        rest = [t for t in src.lines[1:4] if t.strip()]
        if not rest or not rest[0].startswith(("/*", "//")):
            yield (src.path, 2, "no first comment - say in full sentences which idea the"
                   " file holds, and what is deliberately absent")


STATIC = re.compile(r"^[ \t]*(?:static|_Thread_local|__thread)\b([^;={(]*)(.)", re.M)
GLOBAL = re.compile(r"^(?!typedef\b|extern\b|struct \w+;|union \w+;|enum \w+;|static\b|#)"
                    r"(?:const |volatile )*[A-Za-z_]\w*(?:[ \t]+\**|\*+[ \t]*)[\w \t*]*"
                    r"\w(?:\[[^\]\n]*\])*[ \t]*(?:=|;)", re.M)


def is_const(declaration):
    """True when the object itself, not only what it points to, is constant."""
    after_pointer = declaration.rsplit("*", 1)[-1]
    return bool(re.search(r"\bconst\b", after_pointer))


def rule_static_state(src):
    if not (src.is_c and src.within("src/", "image/")):
        return
    how = "keep it in a handle; tables are const (pointers in them too: *const)"
    for m in STATIC.finditer(src.code):
        declaration, end = m.groups()
        if end == "(" and not src.code[m.end():].startswith("*"):
            continue  # a function
        if end == "(":
            declaration = src.code[m.end():src.code.index(")", m.end())]
        if end == "{" and re.search(r"\b(struct|union|enum)\b", declaration):
            declaration = re.split(r"\b(?:struct|union|enum)\b", declaration)[0]
        if re.match(r"\s*(inline|assert)\b|_Static_assert", declaration.strip()):
            continue
        if not is_const(declaration) and not src.excepted("static"):
            yield (src.path, src.line_of(m.start(1)), "static mutable state - " + how)
    depth, spans = 0, []
    for i, line in enumerate(src.code_lines):
        spans.append(depth)
        depth += line.count("{") - line.count("}")
    if "extern \"C\"" in src.text:
        return
    for m in GLOBAL.finditer(src.code):
        line = src.line_of(m.start())
        if spans[line - 1] == 0 and not is_const(m.group()) and ")" not in m.group():
            before = src.code[:m.start()].rstrip()
            if not before or before[-1] in ";}/" or src.code_lines[line - 2].startswith("#"):
                yield (src.path, line, "a global variable that can change - " + how)


def rule_words(src):
    mine = src.path in ("tools/check.py", "tests/tools/test_check.py")
    for i, line in enumerate(src.lines):
        if line.endswith((" ", "\t")):
            yield (src.path, i + 1, "trailing white space - remove it")
        if line.endswith("\r"):
            yield (src.path, i + 1, "a line that ends in CR LF - end it in LF")
        if src.is_c and "\t" in line:
            yield (src.path, i + 1, "a tab - indent by four spaces")
        m = UNFINISHED.search(line)
        if m and not mine:
            yield (src.path, i + 1, "%s - finish it, say UNSUPPORTED to the caller, or"
                   " file an issue" % m.group())
        if THIS_PLACE.search(line) and not mine:
            yield (src.path, i + 1, "a path of somebody's machine - a stranger has none"
                   " of it")
    if src.text and not src.text.endswith("\n"):
        yield (src.path, len(src.lines), "no line end at the end of the file - add one")


# ---- rules on the whole tree ----


def rule_folders_documented(root, sources):
    folders = {}
    for s in sources:
        if s.is_c and s.within("src/"):
            parts = os.path.dirname(s.path).split("/")
            for n in range(2, len(parts) + 1):
                folders.setdefault("/".join(parts[:n]), s.path)
    text = next((s.text for s in sources if s.path == "docs/architecture.md"), None)
    if folders and text is None:
        yield "docs/architecture.md", 1, "is missing - it is the map of the source folders"
        return
    for folder in sorted(folders):
        if not re.search(r"\b%s/" % re.escape(folder.split("/")[-1]), text):
            yield (folders[folder], 1, "folder %s/ is not on the map - add a line for it"
                   " to docs/architecture.md, section 3" % folder)


def rule_conformance_paths(root, sources):
    """What docs/conformance.md names as proof must be there."""
    text = next((s.text for s in sources if s.path == "docs/conformance.md"), "")
    for number, line in enumerate(text.splitlines(), 1):
        for path in re.findall(r"`([\w.-]+(?:/[\w.-]+)+)`", line):
            if not os.path.exists(os.path.join(root, path)):
                yield ("docs/conformance.md", number, "%s does not exist - name the test or"
                       " file that shows it, or change the row's state" % path)


def rule_conformance_counts(root, sources):
    """What docs/conformance.md says of itself is what its rows say."""
    text = next((s.text for s in sources if s.path == "docs/conformance.md"), "")
    states = re.findall(r"^\| R\d+ \|.*?\| (works|partly|not yet|not testable here) \|", text, re.M)
    for number, line in enumerate(text.splitlines(), 1):
        for count, state in re.findall(r"(\d+) (works|partly|not yet|not testable here)", line):
            if line.startswith("Now: ") and int(count) != states.count(state):
                yield ("docs/conformance.md", number, "%s rows are '%s' - write their number"
                       " here" % (states.count(state), state))


STRICT = "-fsyntax-only -Wall -Wextra -pedantic -Wshadow -Wconversion -Wundef -Werror"
LANGUAGES = (
    ("C99", ["gcc", "-std=c99", "-Wstrict-prototypes", "-x", "c"]),
    ("C23", ["gcc", "-std=c2x", "-x", "c"]),
    ("C++11", ["g++", "-std=c++11", "-Wold-style-cast", "-x", "c++"]),
)


def compile_alone(root, path, language, command):
    try:
        r = subprocess.run(
            command + STRICT.split() + ["-I", os.path.join(root, "include"), "-"],
            input=b'#include "%s"\n' % os.path.relpath(path, "include").encode(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        return [(path, 1, "not checked as %s: %s is missing - tools/deps.sh test"
                 % (language, command[0]))]
    if r.returncode == 0:
        return []
    first = next((t for t in r.stdout.decode().splitlines() if "error:" in t), "?")
    where = re.search(re.escape(path) + r":(\d+):", first)
    return [(path, int(where.group(1)) if where else 1, "does not compile alone as %s: %s"
             " - a public header includes all it needs and is plain C99" % (
                 language, first.split("error: ")[-1]))]


def rule_public_headers(root, sources):
    paths = [s.path for s in sources if s.path.startswith("include/") and s.is_c]
    jobs = [(root, p, language, command) for p in paths for language, command in LANGUAGES]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda j: compile_alone(*j), jobs):
            yield from found


RULES = (rule_layers, rule_system_headers, rule_os_conditionals, rule_banned_calls,
         rule_sizes, rule_nesting, rule_header_comment, rule_static_state, rule_words)
TREE_RULES = (rule_folders_documented, rule_conformance_paths, rule_conformance_counts,
              rule_public_headers)


def check(root):
    sources = [Source(root, p) for p in list_files(root)]
    found = [f for s in sources for rule in RULES for f in rule(s)]
    for rule in TREE_RULES:
        found += rule(root, sources)
    return len(sources), sorted(found)


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                           os.path.join(os.path.dirname(__file__), ".."))
    count, found = check(root)
    for path, line, message in found:
        print("%s:%d: %s" % (path, line, message))
    print("check: %d files, %d findings" % (count, len(found)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
