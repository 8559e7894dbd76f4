# SPDX-License-Identifier: MIT OR Apache-2.0
"""A real Debian: a base that mmdebstrap made from the mirror, a package and its libraries
from a repository on this computer, installed by the base's own apt-get and dpkg in a
machine, and the result started. Only with MICROVM_BOOT_FULL: it takes five minutes."""
import os
import shutil
import socket
import subprocess

import pytest

import guests

BUILDER = os.path.join(guests.BUILD, "cli", "microvm-build")
NETD = os.environ.get("MICROVM_NETD")
PACKAGES = ["jq", "libjq1", "libonig5"]
# Beside a server of the repository; what is built stays where kvmbox has files without names.
SCRIPT = r"""
cd "$1" && python3 -m http.server --bind 127.0.0.1 "$2" >/dev/null 2>&1 &
server=$!; sleep 1; out=$(mktemp -d -p /var/tmp); export XDG_CACHE_HOME=$out XDG_RUNTIME_DIR=$out
shift 2; "$@" -o "$out/image"; status=$?
[ $status != 0 ] || { "$MICROVM" run --net none --kernel "$KERNEL" "$out/image" -- jq -n '6 * 7'; status=$?; }
kill $server; rm -rf "$out"; exit $status
"""


def quietly(*argv, seconds=600, **kw):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, **kw)
    if r.returncode:
        pytest.skip("%s: %s" % (argv[0], r.stdout.decode()[-300:]))


@pytest.fixture(scope="module")
def debian_base(tmp_path_factory):
    if not os.environ.get("MICROVM_BOOT_FULL"):
        pytest.skip("takes five minutes and a mirror: set MICROVM_BOOT_FULL")
    for program in ("mmdebstrap", "dpkg-scanpackages", "python3"):
        if not shutil.which(program):
            pytest.skip("%s is not installed: tools/deps.sh test" % program)
    folder = tmp_path_factory.mktemp("debian")
    quietly("mmdebstrap", "--variant=apt", "--aptopt=APT::Sandbox::User \"root\"", "bookworm", str(folder / "base.tar"))
    (folder / "repo").mkdir()
    quietly("apt-get", "download", *PACKAGES, cwd=folder / "repo")
    index = subprocess.run(["dpkg-scanpackages", ".", "/dev/null"], cwd=folder / "repo", stdout=subprocess.PIPE, check=True)
    (folder / "repo/Packages").write_bytes(index.stdout)
    return folder


def test_a_package_of_debian(named, debian_base):
    if not NETD:
        pytest.skip("microvm-netd is not in this build")
    guest = named("default")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    sources = debian_base / "sources.list"
    sources.write_text("deb [trusted=yes] http://10.0.2.2:%d/ ./\n" % port)
    env = ["env", "MICROVM=" + guests.MICROVM, "KERNEL=" + guest.kernel.vmlinux]
    build = [BUILDER, "--base", "tar:%s" % (debian_base / "base.tar"), "--devices", "skip", "--kernel", guest.kernel.vmlinux,
             "--netd", NETD, "--add-file", "%s:/etc/apt/sources.list" % sources, "--install", "jq", "--run",
             "echo '{\"a\": \"installed\"}' | jq -r .a", "--format", "ext4"]
    r = guest.bed.run(env + ["sh", "-c", SCRIPT, "sh", str(debian_base / "repo"), str(port)] + build, 95, mem=3000)
    said = r.err.decode()
    assert r.status == 0 and r.text == "42\n", r
    assert "Setting up libonig5:amd64" in said and "Setting up jq" in said and "\ninstalled\n" in said, r
