# SPDX-License-Identifier: MIT OR Apache-2.0
"""fio in a guest: random, mixed sizes, four jobs, everything written is verified; and
the rates that a limit allows.

fio is the distribution's, with the libraries it wants, on a file system of its own: the
second disk. MICROVM_BOOT_FULL=1 lets it verify for ten minutes on each transport.
"""
import collections
import os
import re
import shutil
import subprocess

import pytest

import guests

Report = collections.namedtuple("Report", "status error read_mib written_mib iops run")
FULL = os.environ.get("MICROVM_BOOT_FULL")


def libraries(program):
    """The files that the dynamic linker maps for a program, itself included."""
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True).stdout
    return re.findall(r"(/\S+) \(0x", said.decode())


def transports():
    """mmio alone where this build has no choice."""
    keys = subprocess.run([guests.MICROVM, "help", "run"], stdout=subprocess.PIPE).stdout
    return ["mmio", "pci"] if b"--transport" in keys else ["mmio"]


@pytest.fixture(scope="module")
def fio_disk(tmp_path_factory):
    """squashfs, not compressed: only what is run is read."""
    fio = shutil.which("fio")
    if not fio:
        pytest.skip("no fio here; tools/deps.sh test installs it")
    folder = tmp_path_factory.mktemp("fio")
    tree = guests.root_tree(str(folder / "tree"))
    shutil.copy("/bin/busybox", os.path.join(tree, "bin", "busybox"))
    for path in [fio] + libraries(fio):
        to = tree + ("/bin/fio" if path == fio else path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy(path, to)
    shutil.copy(os.path.join(os.path.dirname(__file__), "verify.fio"), tree)
    shutil.copy(guests.NOSHM, os.path.join(tree, "noshm.so"))
    image = str(folder / "fio.img")
    subprocess.run(["mksquashfs", tree, image, "-quiet", "-noappend", "-noI", "-noD",
                    "-noF"], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return image


def run_fio(guest, fio_disk, tmp_path, size_mib, command, seconds, *options,
            transport="mmio"):
    """fio's status, error, MiB read, MiB written, reads a second (terse report, version
    3), and the run. The share carries disks into an emulated bed."""
    disk = guests.sparse_file(tmp_path / "disk", size_mib)
    tools = fio_disk
    if guest.slow:
        tools = str(tmp_path / "tools")
        shutil.copy(fio_disk, tools)
    if "pci" in transports():
        options += ("--transport", transport)
    give = ("busybox mount -t tmpfs none /tmp; cd /tmp; "
            "LD_PRELOAD=/noshm.so %s --minimal; echo FIO-ENDED $?; exit\n" % command)
    r = guest.run("mount=squashfs:/dev/vdb shell " + guest.kernel.end, "--disk", disk,
                  "--disk", tools + ",ro", "-i", *options, share=tmp_path,
                  give=give.encode(), timeout=seconds)
    ended = re.search(r"FIO-ENDED (\d+)", r.text)
    report = re.search(r"^.*\b3;fio-.*$", r.text, re.M)
    assert ended and report, r
    field = report.group(0).split(";")
    return Report(int(ended.group(1)), int(field[4]), int(field[5]) >> 10,
                  int(field[46]) >> 10, int(field[7]), r)


def verify(guest, fio_disk, tmp_path, transport, *options, full=False):
    if transport not in transports():
        pytest.skip("this build has no transport=%s" % transport)
    seconds = 600 if full else 20 if guest.slow else 8
    report = run_fio(guest, fio_disk, tmp_path, 16 if guest.slow else 64,
                     "SECONDS_EACH=%d fio /verify.fio" % seconds, seconds + 60,
                     *options, transport=transport)
    print("read %d MiB, written %d MiB" % (report.read_mib, report.written_mib))
    assert report.status == 0 and report.error == 0, report.run
    assert report.read_mib > 1 and report.written_mib > 1, report.run


@pytest.mark.parametrize("transport", ["mmio", "pci"])
@pytest.mark.parametrize("option", ["", "limit"])
def test_verify(quick, fio_disk, tmp_path, transport, option):
    """Also with a limit that holds requests back all the time."""
    limit = ("--limit", "disk=vda:20M/s,300") if option else ()
    verify(quick, fio_disk, tmp_path, transport, *limit, full=FULL and not option)


@pytest.mark.parametrize("transport", ["mmio", "pci"])
def test_verify_on_a_stock_kernel(debian, fio_disk, tmp_path, transport):
    """Four CPUs, so four queues."""
    verify(debian, fio_disk, tmp_path, transport, "--cpus", "4")


READ = ("fio --name=limited --thread=1 --filename=/dev/vda --direct=1 --ioengine=libaio "
        "--iodepth=8 --rw=randread --bs=%s --time_based=1 --ramp_time=2 --runtime=%d")


@pytest.mark.parametrize("limit,block,per_s", [("disk:0,200", "4k", 200),
                                               ("disk:8M/s", "64k", 128),
                                               ("disk=vda:8M/s,100,burst=1s", "64k", 100)])
def test_a_limit_is_kept(quick, fio_disk, tmp_path, limit, block, per_s):
    if quick.slow:
        pytest.skip("times in kvmbox are the emulator's; %s" % quick.bed.why)
    report = run_fio(quick, fio_disk, tmp_path, 64, READ % (block, 5), 40, "--limit",
                     limit)
    print("%s: %d of %d operations a second" % (limit, report.iops, per_s))
    assert report.status == 0, report.run
    assert 0.9 * per_s <= report.iops <= 1.1 * per_s, report.run
