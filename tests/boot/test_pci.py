# SPDX-License-Identifier: MIT OR Apache-2.0
"""Virtio over PCI: found by stock kernels with and without ACPI and MSI-X, on both rungs,
with the guest's and the host's view of it; and which transport auto takes."""
import json
import os
import re
import shutil
import subprocess

import pytest

import guests

MODES = ("full", "split")


def mixed(guest, directory, transport, mib, *options, cmdline="quiet", end=None):
    """The guest's mixed I/O on a new disk: what it said, the disk, the machine's counters."""
    disk = guests.sparse_file(directory / "disk", 32)
    stats = directory / "stats.json"
    r = guest.run("rng disk=/dev/vda,9,%d %s" % (mib, end or guest.kernel.end),
                  "--transport", transport, "--rng", "--disk", disk, "--stats", str(stats),
                  *options, cmdline=cmdline, share=directory, timeout=60)
    assert r.status == 0, r
    assert int(r.said("rng").split()[0]) > 200, r
    assert r.said("disk").endswith("wrong 0"), r
    twin = guests.sparse_file(directory / "twin", 32)
    subprocess.run([guests.DISKMIX_HOST, twin, "9", str(mib)], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cmp", disk, twin], check=True)
    return r, json.loads(stats.read_text())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["mmio", "pci"])
def test_either_transport_native(quick, tmp_path, transport, mode):
    mixed(quick, tmp_path, transport, 4 if quick.slow else 32, "--interrupts", mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("words", ["", "pci=nomsi", "acpi=off", "acpi=off pci=nomsi",
                                   "pci=nomsi threadirqs"])
def test_every_way_to_describe_it(machine, named, tmp_path, words, mode):
    """MSI-X and pins, by ACPI and by the MP table; acpi=off is the kernel's word, after
    the machine took it for one with ACPI; threadirqs masks a pin until its thread has run.
    Debian's kernels for the cloud read no MP table."""
    guest = named("lean", "debian-6.1") if "acpi=off" in words else machine
    mixed(guest, tmp_path, "pci", 1, "--interrupts", mode, cmdline="quiet " + words,
          end="reboot")


@pytest.mark.parametrize("mode", MODES)
def test_a_guest_that_storms_gets_on(quick, tmp_path, mode):
    """With pins ring3 goes on only where some time passes between the end of an interrupt
    and the next (docs/testing.md)."""
    mixed(quick, tmp_path, "pci", 1, "--interrupts", mode, cmdline="quiet pci=nomsi")


# ---- stock kernels, and what they say of their interrupts -------------------------------

LOOK = (b"grep -E 'virtio' /proc/interrupts\ngrep -iE 'ecam|mmconfig' /proc/iomem\n"
        b"grep -c . /proc/bus/pci/devices\nexit 0\n")


@pytest.mark.parametrize("name, mode, words, kind", [
    ("debian-cloud-6.1", "full", "", "MSI"),
    ("debian-cloud-6.1", "split", "pci=nomsi", "IO-APIC"),
    ("debian-6.12", "split", "", "MSI"),
    ("debian-6.12", "full", "pci=nomsi", "IO-APIC"),
])
def test_stock_kernels(named, tmp_path, name, mode, words, kind):
    guest = named(name)
    disk = guests.sparse_file(tmp_path / "disk", 16)
    r = guest.run("rng disk=/dev/vda,9,1 shell poweroff", "-i", "-m", "512M", "--rng",
                  "--disk", disk, "--interrupts", mode, "--verbose", cmdline="quiet " + words,
                  busybox=True, share=tmp_path, give=LOOK, timeout=60)
    assert r.status == 0, r
    assert "ACPI, PCI, command line" in r.err.decode(), r
    assert int(r.said("rng").split()[0]) > 200, r
    assert r.said("disk").endswith("wrong 0"), r
    lines = re.findall(r"^ *\d+: .*virtio.*$", r.text, re.M)
    assert lines and all(kind in t for t in lines), r
    if kind == "MSI":  # the configuration's and one for each queue
        assert sum("config" in t for t in lines) == 2, r
        assert sum("virtio0-req" in t for t in lines) == 1, r
    assert re.search(r"e0000000-e00fffff : PCI (ECAM|MMCONFIG) 0000 \[bus 00\S*\]", r.text), r
    assert "\n3\n" in r.text, r  # the bridge, the disk, the generator


def test_four_processors(machine, tmp_path):
    """A queue for each processor, and a vector for each queue."""
    r = machine.run("cpus disk=/dev/vda,9,%d shell poweroff" % (2 if machine.slow else 64),
                    "-i", "--cpus", "4", "--transport", "pci", "--disk",
                    guests.sparse_file(tmp_path / "a", 32), "--disk",
                    guests.sparse_file(tmp_path / "b", 32), share=tmp_path, busybox=True,
                    give=b"grep virtio /proc/interrupts\nexit 0\n", timeout=60)
    assert r.status == 0, r
    assert r.said("cpus_ran") == "4", r
    assert r.said("disk").endswith("wrong 0"), r
    for disk in ("virtio0", "virtio1"):
        assert len(re.findall(r"MSI.*%s-req\.\d" % disk, r.text)) == 4, r


MOVE = b"""irq=$(grep -E 'virtio0(-input)?$' /proc/interrupts | cut -d: -f1 | tr -d ' ')
dd if=/dev/hwrng of=/dev/null bs=64 count=%d 2>/dev/null & n=0
while kill -0 $! 2>/dev/null; do for m in 1 2 4 8; do
echo $m >/proc/irq/$irq/smp_affinity; n=$((n+1)); done; done; wait
echo "moved $n times"; grep "^ *$irq:" /proc/interrupts; exit 0
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("words", ["", "pci=nomsi"])
def test_an_interrupt_moves_between_processors(machine, words, mode):
    """The driver gives it to another processor again and again while requests end by it;
    one that is lost is a guest that waits for ever. Not the disk's: Linux places these
    itself and lets nobody move them."""
    count = 2000 if machine.slow else 20000
    r = machine.run("cpus shell poweroff", "-i", "--cpus", "4", "--transport", "pci",
                    "--interrupts", mode, "--rng", cmdline="quiet " + words, busybox=True, give=MOVE % count,
                    timeout=60)
    assert r.status == 0, r
    assert int(re.search(r"^moved (\d+) times", r.text, re.M).group(1)) >= 8, r
    line = re.search(r"^ *\d+:((?: +\d+){4}) .*virtio0(-input)?\s*$", r.text, re.M)
    assert line and all(int(n) > 0 for n in line.group(1).split()), r
    assert sum(int(n) for n in line.group(1).split()) >= count // 2, r  # some bring two blocks


def test_a_device_is_found_again(quick, tmp_path):
    """Without ACPI a guest knows no windows: Linux puts the BAR that it assigns at the
    first free place above 4 GiB."""
    disk = guests.sparse_file(tmp_path / "disk", 32)
    there = b"/sys/bus/pci/devices/0000:00:01.0"
    script = (b"echo 1 >%s/remove; test -e %s || echo it is gone\n" % (there, there) +
              b"echo 1 >/sys/bus/pci/rescan; head -n 1 %s/resource; exit 0\n" % there)
    r = quick.run("shell disk=/dev/vda,9,1 " + quick.kernel.end, "-i",
                  "--transport", "pci", "--acpi", "off", "--disk", disk, busybox=True,
                  give=script, share=tmp_path, timeout=60)
    assert r.status == 0, r
    assert re.search("^it is gone", r.text, re.M), r
    start, end = (int(x, 16) for x in
                  re.search(r"^0x(\w{16}) 0x(\w{16}) ", r.text, re.M).groups())
    assert end - start == 0x7fff, r
    assert quick.kernel.has_acpi or start == 1 << 32, r
    assert r.said("disk").endswith("wrong 0"), r


def test_a_command_line_without_pci(quick):
    r = quick.run("uname " + quick.kernel.end, "--transport", "pci", "--rng",
                  cmdline="quiet pci=off")
    assert b"transport=pci: the command line says pci=off" in r.err, r
    r = quick.run("uname " + quick.kernel.end, "--transport", "pci", "--rng")
    assert b"pci=off" not in r.err, r


# ---- what the host sees ---------------------------------------------------------------

def exits_for_more(guest, directory, transport):
    """Accesses to device memory that came up to us (the serial port has ports), and
    interrupts, that 24 more MiB of mixed I/O cost."""
    little, much = (mixed(guest, directory, transport, mib, "-m", "128M", "--interrupts",
                          "full")[1]
                    for mib in (8, 32))
    return [much[k] - little[k] for k in ("mmio_exits", "irqs")]


def test_an_interrupt_costs_no_exit(quick, tmp_path):
    """Over PCI. Over MMIO it costs one, where the driver reads InterruptStatus; KVM takes
    the write of InterruptACK, which would be the second."""
    exits, irqs = exits_for_more(quick, tmp_path, "pci")
    assert irqs > 100 and exits == 0, (exits, irqs)
    exits, irqs = exits_for_more(quick, tmp_path, "mmio")
    assert irqs <= exits <= 1.2 * irqs, (exits, irqs)


def test_pause_during_traffic(quick, tmp_path):
    for transport in ("mmio", "pci"):
        disk = guests.sparse_file(tmp_path / transport, 32)
        r = quick.program("api_traffic", "10" if quick.slow else "60", disk=disk,
                          transport=transport)
        assert r.status == 0, r


def test_cycles_over_pci(quick, tmp_path):
    disk = guests.sparse_file(tmp_path / "disk", 1)
    r = quick.program("api_cycles", "5" if quick.slow else "60", "200", disk=disk,
                      rng="on", balloon="on", console="virtio", transport="pci")
    assert r.status == 0, r


# ---- auto ---------------------------------------------------------------------------------

def choice(guest, *options, cmdline="quiet"):
    r = guest.run("uname " + guest.kernel.end, "--verbose", *options, cmdline=cmdline)
    assert r.status == 0, r
    return re.search(r"(PCI|no PCI), command line: (.*)", r.err.decode()).groups()


def test_auto_without_devices(quick):
    assert choice(quick)[0] == "no PCI"
    assert "pci=off" in choice(quick)[1]
    assert choice(quick, "--transport", "pci")[0] == "PCI"


def test_auto_asks_the_kernel(quick):
    wanted = "PCI" if quick.kernel.has_acpi else "no PCI"
    assert choice(quick, "--rng")[0] == wanted
    assert choice(quick, "--rng", "--acpi", "off")[0] == "no PCI"
    assert choice(quick, "--rng", "--transport", "pci")[0] == "PCI"


def test_auto_hears_what_the_user_says(machine):
    found, words = choice(machine, "--rng", cmdline="quiet pci=off")
    assert found == "no PCI", words
    assert choice(machine, "--rng")[0] == "PCI"


def test_too_much_memory_for_the_window(quick):
    r = quick.run("uname", "-m", "256G", "--rng", "--transport", "pci")
    assert r.status != 0
    if b"no memory" in r.err or b"Cannot allocate" in r.err:
        pytest.skip("this host gives no mapping of 256 GiB")
    assert b"at most 255 GiB of memory, this one 256; choose transport=mmio" in r.err, r


# ---- lspci ------------------------------------------------------------------------------------

def program_files(path):
    """A program and the libraries it needs, as PATH=FILE words for guest-initramfs.py."""
    ldd = subprocess.run(["ldd", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    libraries = re.findall(r"(?:=> )?(/\S+) \(0x", ldd)
    return ["%s=%s" % (p.lstrip("/"), os.path.realpath(p)) for p in libraries + [path]]


def test_lspci_sees_what_a_reader_expects(quick, tmp_path):
    lspci = shutil.which("lspci") or "/usr/bin/lspci"
    if not os.path.exists(lspci):
        pytest.skip("lspci is not installed (Debian: pciutils)")
    initrd = str(tmp_path / "lspci.cpio")
    subprocess.run([os.path.join(guests.ROOT, "tools", "guest-initramfs.py"), "-o", initrd,
                    "--init", guests.GUEST_INIT, "--busybox", "--kernel-dir",
                    quick.kernel.directory] + program_files(lspci), check=True)
    disk = guests.sparse_file(tmp_path / "disk", 1)
    script = ("%s -n -vvv; exit 0\n" % lspci).encode()
    r = quick.run("shell " + quick.kernel.end, "-i", "--initrd", initrd, "--transport",
                  "pci", "--rng", "--disk", disk, initrd=False, give=script,
                  share=tmp_path)
    assert r.status == 0, r
    devices = dict(re.findall(r"^00:(\S+) (.*(?:\n[\t ].*)*)", r.text, re.M))
    bridge, blk = devices["00.0"], devices["01.0"]
    assert bridge.startswith("0600: 1b36:0008"), r
    assert "Capabilities" not in bridge, r
    assert blk.startswith("0180: 1af4:1042 (rev 01)"), r
    assert devices["02.0"].startswith("00ff: 1af4:1044 (rev 01)"), r
    assert set(devices) == {"00.0", "01.0", "02.0"}, r
    check_virtio(blk, ("CommonCfg", "Notify", "ISR", "DeviceCfg"))
    check_virtio(devices["02.0"], ("CommonCfg", "Notify", "ISR"))


def check_virtio(text, parts):
    """A device with one queue; each part in a page of its own. lspci has no name for the
    window in configuration space (virtio 1.2, 4.1.4.9), whose place is the driver's."""
    for wanted in (
            r"Subsystem: 1af4:",
            r"Control: I/O- Mem\+ BusMaster\+ .* DisINTx\+",
            r"Status: Cap\+ .* <MAbort- .* INTx-",
            r"Interrupt: pin A routed to IRQ \d+",
            r"Region 0: Memory at c00\w+ \(64-bit, non-prefetchable\) \[size=32K\]",
            r"MSI-X: Enable\+ Count=2 Masked-\n\s+Vector table: BAR=0 offset=00004000\n"
            r"\s+PBA: BAR=0 offset=00006000",
            r"VirtIO: Notify\n.* multiplier=00000004",
            r"VirtIO: <unknown>\n\s+BAR=0 offset=00000000 size=00000000",
            r"Kernel driver in use: virtio-pci"):
        assert re.search(wanted, text), (wanted, text)
    found = re.findall(r"VirtIO: (\w+)\n\s+BAR=0 offset=0000([0-3])000 size=", text)
    assert tuple(name for name, _ in found) == parts, text
    assert len({page for _, page in found}) == len(parts), text
    assert len(re.findall(r"Capabilities: ", text)) == len(parts) + 2, text
