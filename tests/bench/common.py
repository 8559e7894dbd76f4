# SPDX-License-Identifier: MIT OR Apache-2.0
"""What all benchmarks share: where things are, and how their programs are built."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "libmicrovm")
WARNINGS = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def ring3_kernel(name="ring3"):
    r = subprocess.run([os.path.join(TOP, "tools/guest-kernel.sh"), name], stdout=subprocess.PIPE, check=True)
    return os.path.join(r.stdout.decode().strip(), "kernel")


def compile_c(work, name, sources, *flags):
    """A program of tests/bench, built again when a source is newer."""
    os.makedirs(work, exist_ok=True)
    out, paths = os.path.join(work, name), [os.path.join(HERE, s) for s in sources]
    if not os.path.exists(out) or os.path.getmtime(out) < max(map(os.path.getmtime, paths)):
        c = [p for p in paths if p.endswith(".c")]
        subprocess.run([os.environ.get("CC", "gcc"), "-O2", *flags, "-o", out, *c], check=True)
    return out


def make_initrd(out, init):
    subprocess.run([sys.executable, os.path.join(HERE, "mkinitrd.py"), out, "init=" + init], check=True)
    return out


def add_arguments(ap, mem):
    ap.add_argument("-m", "--mem", type=int, default=mem, help="MiB")
    ap.add_argument("--kernel", help="default: the ring3 kernel")
    ap.add_argument("--microvm", type=os.path.abspath,  # rows run in folders of their own
                    default=os.environ.get("MICROVM", os.path.join(TOP, "build/cli/microvm")))
    ap.add_argument("--peers", default=os.environ.get("PEERS", os.path.join(CACHE, "peers")))
    ap.add_argument("--json")
