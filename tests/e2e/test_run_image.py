# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm run IMAGE: a file with a root file system, entered by microvm-init, and what is run in it."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import Microvm, MICROVM_BUILD
from test_image import have
from test_image import run as host_run
from test_named import wait_until
from test_oci import registry  # noqa: F401: a fixture

APPLETS = ["sh", "cat", "echo", "env", "grep", "id", "ip", "ls", "mount", "pwd", "touch", "sleep", "uname"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root file system of busybox, as a folder."""
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("busybox-static is not installed")
    root = tmp_path_factory.mktemp("image") / "root"
    for folder in ("bin", "etc", "home", "tmp"):
        (root / folder).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in APPLETS:
        os.symlink("busybox", root / "bin" / name)
    (root / "etc/resolv.conf").symlink_to("../run/nowhere")  # as images of distributions have it
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nguest:x:1000:1000::/home:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nguest:x:1000:\n")
    return root


@pytest.fixture(scope="module")
def build(root):
    """Makes an image of the root file system."""
    program = Microvm(MICROVM_BUILD)
    if "not supported in this build" in program("image", "--base", "scratch").stderr.decode():
        pytest.skip("microvm-build has no image builder (meson option image)")

    def build(path, *args, format="squashfs"):
        if format == "squashfs":
            args += ("--compress", "gzip")
        r = program("-q", "--base", "dir:%s" % root, "--format", format, "-o", path, *args)
        assert r.returncode == 0, r.stderr
        return path
    return build


@pytest.fixture(scope="module")
def image(build, root):
    return build(root.parent / "plain.squashfs")


@pytest.fixture(scope="module")
def run(kvm, tmp_path_factory):
    kernel, init = os.environ.get("MICROVM_RING3_KERNEL"), os.environ.get("MICROVM_INIT")
    if not kernel or not init:
        pytest.skip("MICROVM_RING3_KERNEL is not set, or microvm-init is not in this build")
    env = {"XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run")), "MICROVM_KERNEL": kernel}

    def run(*args, **kw):
        return kvm(*args, **dict(env, **kw))
    run.env, run.path = env, kvm.path
    return run


def said(r):
    assert r.returncode == 0, r
    return r.stdout.decode()


def test_a_command_and_its_status(run, image):
    r = run("run", "--net", "none", image, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (r.returncode, r.stdout, r.stderr) == (7, b"out\n", b"err\n")
    r = run("run", "--net", "none", image, "--", "nothing-like-it")
    assert r.returncode == 127 and b"nothing-like-it" in r.stderr


@pytest.mark.parametrize("format", ["squashfs", "ext4"])
def test_an_image_is_only_read(run, build, tmp_path, format):
    path = build(tmp_path / "image", format=format)
    before = path.read_bytes()
    for _ in range(2):
        assert said(run("run", "--net", "none", path, "--", "sh", "-c",
                        "echo new >/etc/new; touch /bin/x; ls /etc; cat /etc/new")) == "group\nnew\npasswd\nresolv.conf\nnew\n"
    assert path.read_bytes() == before


def test_standard_input(run, image):
    r = run("run", "--net", "none", "-i", image, "--", "cat", stdin=b"through and back")
    assert r.stdout == b"through and back"


def test_the_user_network_is_there_at_once(run, image):
    if not os.environ.get("MICROVM_NETD"):
        pytest.skip("microvm-netd is not in this build")
    text = said(run("run", "--netd", os.environ["MICROVM_NETD"], image, "--", "sh", "-c", "ip -4 addr; ip route; cat /etc/resolv.conf"))
    assert "inet 10.0.2.15/24" in text and "default via 10.0.2.2 dev eth0" in text
    assert text.endswith("nameserver 10.0.2.3\n")


def test_the_images_own_dhcp_client(run, build, root, tmp_path):
    """Which networks whose addresses nobody knows get; here of the user network, that of two words counts which is the last."""
    if not os.environ.get("MICROVM_NETD"):
        pytest.skip("microvm-netd is not in this build")
    dhcp = ["--netd", os.environ["MICROVM_NETD"], "--cmdline", "microvm.net=dhcp"]
    plain = build(tmp_path / "plain")
    name = "no-client"
    # Which ends although the network's helper lives on: that keeps none of our streams open.
    subprocess.run([run.path, "run", "-d", "--name", name, *dhcp, plain], env=dict(os.environ, **run.env), check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    try:
        wait_until(lambda: b"the image has no DHCP client" in run("logs", name).stdout)
        assert "LOOPBACK,UP" in said(run("exec", name, "ip", "link"))
    finally:
        run("kill", name)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n[ \"$1\" != bound ] || { ip addr add $ip/$mask dev $interface; ip route add default via $router; }\n")
    client = tmp_path / "udhcpc"
    client.write_text("#!/bin/sh\nexec /bin/busybox udhcpc -s /etc/lease \"$@\"\n")
    path = build(tmp_path / "client", "--add-file", "%s:/etc/lease:0755" % script, "--add-file", "%s:/bin/udhcpc:0755" % client)
    text = said(run("run", *dhcp, path, "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do ip route | grep -q default && break; sleep 0.3; done; ip -4 addr; ip route"))
    assert "inet 10.0.2.15/24" in text and "default via 10.0.2.2 dev eth0" in text


def test_without_a_network(run, image):
    text = said(run("run", "--net", "none", image, "--", "ip", "link"))
    assert "eth0" not in text and "lo: <LOOPBACK,UP" in text


def test_the_images_own_command(run, build, tmp_path):
    path = build(tmp_path / "own", "--entrypoint", "/bin/sh", "--entrypoint", "-c", "--cmd", "pwd; id -u; echo $A $B",
                 "--env", "A=1", "--env", "B=2", "--workdir", "/home", "--user", "guest")
    assert json.loads((tmp_path / "own.json").read_text())["workdir"] == "/home"
    assert said(run("run", "--net", "none", path)) == "/home\n1000\n1 2\n"
    assert said(run("run", "--net", "none", "-e", "B=x", "-w", "/", "-u", "root", path)) == "/\n0\n1 x\n"
    assert said(run("run", "--net", "none", path, "--", "echo $B only")) == "2 only\n"
    assert said(run("run", "--net", "none", "--entrypoint", "/bin/echo", path, "--", "-n", "x")) == "x"
    assert said(run("run", "--net", "none", "--entrypoint", "", path, "--", "uname")) == "Linux\n"


def test_the_host_name(run, build, tmp_path):
    (tmp_path / "hostname").write_text("of-the-image\n")
    path = build(tmp_path / "named", "--add-file", "%s:/etc/hostname" % (tmp_path / "hostname"))
    assert said(run("run", "--net", "none", path, "--", "uname", "-n")) == "of-the-image\n"
    assert said(run("run", "--net", "none", "--hostname", "box-1", path, "--", "uname", "-n")) == "box-1\n"
    assert "hostname: 'a b' is none" in run_refuses(run, "--hostname", "a b", path, "--", "uname")


def test_detached_it_waits_for_commands(run, image):
    said(run("run", "-d", "--name", "box", "--net", "none", image))
    try:
        assert said(run("exec", "box", "sh", "-c", "echo 1 >/tmp/kept; mount")).startswith("overlay on / type overlay")
        assert said(run("exec", "box", "cat", "/tmp/kept")) == "1\n"
    finally:
        run("kill", "box")


def test_detached_it_runs_the_images_own_command(run, build, tmp_path):
    path = build(tmp_path / "own", "--entrypoint", "/bin/sh", "--entrypoint", "-c", "--env", "A=1", "--workdir", "/home", "--user", "guest",
                 "--cmd", "pwd; id -u; echo $A; until test -e go; do sleep 0.05; done; exit 7")
    assert said(run("run", "-d", "--name", "own", "--net", "none", path)) == "own\n"
    try:
        with subprocess.Popen([run.path, "wait", "own"], env=dict(os.environ, **run.env), stdout=subprocess.PIPE) as waiter:
            wait_until(lambda: b"/home\r\n1000\r\n1\r\n" in run("logs", "own").stdout)
            said(run("exec", "own", "touch", "/home/go"))
            assert waiter.communicate(timeout=20)[0] == b"7\n"
    finally:
        run("kill", "own")


def test_what_cannot_be_entered_is_said(run, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(os.urandom(1 << 20))
    r = run("run", "--net", "none", junk, "--", "uname")
    assert r.returncode == 125 and r.stdout == b""
    assert b"microvm.root=/dev/vda: no file system that this kernel knows" in r.stderr


@pytest.mark.parametrize("compress", ["lzo", "xz", "zstd"])
def test_a_compression_that_the_kernel_has_not(run, root, tmp_path, compress):
    have("mksquashfs")
    host_run("mksquashfs", root, tmp_path / "image", "-comp", compress, "-quiet", "-no-progress")
    r = run("run", "--net", "none", tmp_path / "image", "--", "true")
    if r.returncode == 0:
        pytest.skip("this kernel has it")
    assert b"microvm.root=/dev/vda: it is squashfs, which this kernel does not mount" in r.stderr, r


def test_a_folder_is_a_root_file_system(run, build, root, tmp_path):
    """Made a disk of once for each content, wherever the folder is."""
    folder = tmp_path / "tree, mine"
    shutil.copytree(root, folder, symlinks=True)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    disks = tmp_path / "cache/microvm/images/disks"

    def one(*command):
        said_ = said(run("run", "--net", "none", folder, "--", *command, **env))
        return said_, {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in disks.glob("*.ext4")}

    text, first = one("sh", "-c", "id -u; touch /etc/new; ls -ld /etc/passwd")
    assert text.startswith("0\n-rw-r--r--") and len(first) == 1
    assert not (folder / "etc/new").exists()
    assert one("cat", "/etc/group") == ((root / "etc/group").read_text(), first)
    os.utime(folder / "etc/group", (1, 1))  # the image has no times of the host
    assert one("uname")[1] == first
    for change in (lambda: (folder / "etc/group").write_text("other\n"), lambda: (folder / "etc/group").chmod(0o600)):
        change()
        text, more = one("cat", "/etc/group")
        assert text == "other\n" and first.items() < more.items()
        first = more
    assert len(first) == 3
    assert run("prune", **env).returncode == 0 and list(disks.iterdir()) == []


@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_an_archive_is_a_root_file_system(run, root, build, tmp_path, compress):
    """Made a disk of once for each content; what stands beside it says how it is started."""
    path = build(tmp_path / "root, mine", "--compress", compress, "--cmd", "/bin/cat", "--cmd", "/etc/group", format="tar")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    disks = tmp_path / "cache/microvm/images/disks"
    assert said(run("run", "--net", "none", path, **env)) == (root / "etc/group").read_text()
    first = {p.name: p.stat().st_mtime_ns for p in disks.glob("*.ext4")}
    assert said(run("run", "--net", "none", path.rename(tmp_path / "moved"), "--", "uname", **env)) == "Linux\n"
    assert {p.name: p.stat().st_mtime_ns for p in disks.glob("*.ext4")} == first and len(first) == 1
    build(tmp_path / "moved", "--compress", compress, "--env", "A=1", "--add-file", "/etc/hostname:/new", format="tar")
    assert "new" in said(run("run", "--net", "none", tmp_path / "moved", "--", "ls", "/", **env))
    assert len(list(disks.glob("*.ext4"))) == 2


def test_archives_that_are_none(run, build, tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for compress in ("none", "gzip"):
        ramdisk = build(tmp_path / ("ramdisk." + compress), "--compress", compress, format="initramfs")
        assert "is an initial RAM disk: start it with --initrd" in run_refuses(run, ramdisk)
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08" + os.urandom(600))
    r = run("run", tmp_path / "x.gz", "--", "uname", **env)
    assert r.returncode == 125 and b"no usable tar archive" in r.stderr
    assert not list((tmp_path / "cache/microvm/images/disks").glob("*"))


def test_a_bundle_goes_wherever_it_is_put(run, build, tmp_path):
    """A folder with kernel, image and config.json, run from somewhere else, and moved."""
    bundle = tmp_path / "here"
    bundle.mkdir()
    build(bundle / "rootfs.squashfs", "--cmd", "/bin/echo", "--cmd", "from the bundle")
    shutil.copy(run.env["MICROVM_KERNEL"], bundle / "vmlinux")
    (bundle / "config.json").write_text(json.dumps({"kernel": "vmlinux", "image": "rootfs.squashfs", "memory": "128M"}))
    env = {"MICROVM_KERNEL": "/nowhere"}
    assert said(run("run", "--net", "none", bundle, **env)) == "from the bundle\n"
    moved = bundle.rename(tmp_path / "there, now")
    (moved / "rootfs.squashfs.json").unlink()
    r = run("run", "--net", "none", moved, **env)
    assert r.returncode == 125 and ("as in 'microvm run %s -- sh'" % moved).encode() in r.stderr, r
    assert said(run("run", "--net", "none", "-m", "96M", moved, "--", "sh", "-c", "cat /proc/cmdline", **env)).count("microvm.root=/dev/vda") == 1


@pytest.mark.parametrize("format", ["squashfs", "initramfs"])
def test_a_bundle_as_the_builder_writes_it(run, root, build, tmp_path, format):
    """Complete, the same when it is made again, and it runs without anything else of ours, by what its recipe says of the machine."""
    init = ["--add-file", "%s:/init:0755" % os.environ["MICROVM_INIT"]] if format == "initramfs" else []
    machine = {"memory": "128M", "nets": ["none"], "cmdline": "quiet -- /bin/echo from the RAM disk" if init else "quiet"}
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"bundle": True, "machine": machine, "entrypoint": ["/bin/echo"], "cmd": ["from the bundle"]}))
    for name in ("one", "two"):
        build(tmp_path / name, "--recipe", recipe, *init, "--compress", "gzip", "--kernel", run.env["MICROVM_KERNEL"], format=format)
    files = sorted(f.name for f in (tmp_path / "one").iterdir())
    assert files == (["config.json", "initramfs", "initramfs.json", "vmlinux"] if init else
                     ["config.json", "microvm-init.cpio", "rootfs.squashfs", "rootfs.squashfs.json", "vmlinux"])
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    r = run("run", tmp_path / "one", MICROVM_KERNEL="/nowhere", MICROVM_DATA="/nowhere")
    assert ("from the RAM disk\n" if init else "from the bundle\n") in said(r).replace("\r", "")


def test_no_half_bundle(run, build, tmp_path):
    program, out = Microvm(MICROVM_BUILD), tmp_path / "out"
    begin = ("-q", "--base", "scratch", "--add-file", "/etc/hostname:/x", "--bundle", "-o")
    for words, says in ((["--kernel", "/nowhere"], "kernel '/nowhere'"), (["--format", "tar"], "--bundle: no machine starts from a tar"),
                        (["--machine", '{"memori": 1}'], "did you mean 'memory'"), (["--machine", "[]"], "--machine:")):
        assert says in program.refuses(*begin, out, *words, MICROVM_KERNEL=run.env["MICROVM_KERNEL"])
        assert list(tmp_path.iterdir()) == []
    for key in ("kernel", "initrd", "image", "rootfs"):
        assert "--machine: '%s' is the bundle's own" % key in program.refuses(*begin, out, "--machine", json.dumps({key: "/x"}), MICROVM_KERNEL=run.env["MICROVM_KERNEL"])
    assert "kernel '/nowhere'" in program.refuses("--base", "tar:/no/such.tar", "--bundle", "-o", out, "--kernel", "/nowhere"), "before all that takes long"
    assert "'microvm-build kernel --arch arm64'" in program.refuses(*begin, tmp_path / "x", "--arch", "arm64", MICROVM_KERNEL="", XDG_CACHE_HOME=str(tmp_path), MICROVM_DATA=str(tmp_path))
    template = tmp_path / "own.json"
    template.write_text(json.dumps({"machine": {"kernel": "/nowhere", "memory": "96M"}, "recipe": {"base": "scratch", "add-file": ["/etc/hostname:/x"]}}))
    r = program("-q", "--template", template, "--bundle", "-o", tmp_path / "made", MICROVM_KERNEL=run.env["MICROVM_KERNEL"])
    config = json.loads((tmp_path / "made/config.json").read_text())
    assert r.returncode == 0 and config["memory"] == "96M" and config["kernel"].startswith("vmlinu"), (r, config)
    left = tmp_path / "out.microvm.part.1"  # of a build that was killed
    left.mkdir()
    (left / "rootfs.squashfs").write_text("half")
    assert program(*begin, out, MICROVM_KERNEL=run.env["MICROVM_KERNEL"]).returncode == 0
    assert not left.exists()
    shutil.rmtree(out)
    out.mkdir()
    assert "is there already" in program.refuses(*begin, out, MICROVM_KERNEL=run.env["MICROVM_KERNEL"])
    assert "--machine: its settings are a bundle's" in program.refuses("--base", "scratch", "--machine", "{}", "-o", tmp_path / "x")
    assert "there is no kernel" in program.refuses(*begin, tmp_path / "x", MICROVM_KERNEL="", XDG_CACHE_HOME=str(tmp_path), MICROVM_DATA=str(tmp_path))


def test_a_bundle_of_a_kernel_and_a_ram_disk(run, tmp_path):
    """Without an image it is a machine like one of --config: its console, until it ends."""
    shutil.copy(run.env["MICROVM_KERNEL"], tmp_path / "vmlinux")
    shutil.copy(os.path.join(os.path.dirname(os.environ["MICROVM_INIT"]), "microvm-init.cpio"), tmp_path / "init.cpio")
    (tmp_path / "config.json").write_text(json.dumps({"kernel": "vmlinux", "initrd": "init.cpio", "cmdline": "quiet -- /nothing"}))
    r = run("run", tmp_path)
    assert r.returncode == 0 and b"/nothing: No such file" in r.stdout
    (tmp_path / "config.json").write_text("{\"kernl\": 1}")
    assert "config.json: unknown key 'kernl'" in run_refuses(run, tmp_path)


def test_services(run, build, tmp_path):
    """They begin together, are started again when they fail, with pauses, and the one that ends well ends the guest."""
    (tmp_path / "services").write_text("# a remark\n\n  #" + " of many words" * 20 + "\n/bin/sh /fails\n  /bin/sh\t/ends well \n/nothing/like/it\n/bin/sh -c kill\\t-9\\t$$\n")
    (tmp_path / "fails").write_text('read up rest </proc/uptime; echo "began at $up"; exit 3\n')
    (tmp_path / "ends").write_text('sleep 2; echo "$1, seen by $PPID"\n')
    files = ["%s:/%s" % (tmp_path / n, to) for n, to in (("services", "etc/microvm/services"), ("fails", "fails"), ("ends", "ends"))]
    disk = build(tmp_path / "disk", *[w for f in files for w in ("--add-file", f)])
    r = run("run", "--net", "none", "-d", "--name", "served", "--cmdline", "quiet", disk)
    assert r.returncode == 0, r
    log = run("logs", "-f", "served").stdout.decode().replace("\r", "")
    began = [float(line.split()[-1]) for line in log.splitlines() if line.startswith("began at")]
    pauses = [b - a for a, b in zip(began, began[1:])]
    assert 3 <= len(began) <= 4 and pauses[0] >= 0.24 and pauses[1] >= 0.49, log
    assert "more than" not in log, "a remark may be long"
    assert "/bin/sh: ended with status 3" in log and "/nothing/like/it: No such file" in log
    assert log.count("well, seen by 1\n") == 1


@pytest.fixture(scope="module")
def reference(registry, root, tmp_path_factory):  # noqa: F811
    """The root file system in a registry, as umoci and skopeo put it there."""
    have("umoci")
    folder = tmp_path_factory.mktemp("umoci")
    image = "%s:latest" % (folder / "layout")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    host_run("umoci", "init", "--layout", folder / "layout")
    host_run("umoci", "new", "--image", image)
    host_run("umoci", "unpack", *rootless, "--image", image, folder / "bundle")
    shutil.copytree(root, folder / "bundle/rootfs", symlinks=True, dirs_exist_ok=True)
    host_run("umoci", "repack", "--image", image, folder / "bundle")
    host_run("umoci", "config", "--image", image, "--config.cmd", "sh", "--config.cmd", "-c", "--config.cmd", "echo from $WHERE",
             "--config.env", "WHERE=a registry")
    name = "%s/tools/box:1" % registry
    host_run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "oci:" + image, "docker://" + name)
    return name


def test_an_image_of_a_registry(run, build, reference, tmp_path):
    """Pulled and made a disk of the first time; afterwards nothing is asked or made."""
    env = {"XDG_CACHE_HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "none")}
    assert said(run("run", "--net", "none", reference, **env)) == "from a registry\n"
    disks = tmp_path / "microvm/images/disks"
    disk, = disks.glob("*.ext4")
    made = os.stat(disk)
    assert said(run("run", "--net", "none", reference, "--", "cat", "/etc/passwd", **env)).startswith("root:")
    assert (os.stat(disk).st_ino, os.stat(disk).st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert reference in said(run("images", **env))
    assert run("rmi", reference, **env).returncode == 0
    assert list(disks.iterdir()) == []
    r = run("run", "--net", "none", reference.replace("box", "nothing"), **env)
    assert r.returncode == 125 and r.stdout == b"" and b"not there, or not for everybody" in r.stderr


def test_a_run_that_is_pulled_keeps_what_it_had(run, build, reference, tmp_path):
    """`prune` leaves the disks of images that are there."""
    env = {"XDG_CACHE_HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "none")}
    said(run("run", "--net", "none", reference, "--", "uname", **env))
    stray = tmp_path / "microvm/images/disks" / ("0" * 64 + ".ext4")
    stray.write_bytes(b"x")
    assert run("prune", **env).returncode == 0
    assert not stray.exists() and len(list(stray.parent.iterdir())) == 2


def test_refusals(run, image, tmp_path):
    assert "write a command behind '--'" in run_refuses(run, image)
    assert "'./alpine': No such file" in run_refuses(run, "./alpine")
    assert "'Not a reference'" in run_refuses(run, "Not a reference")
    (tmp_path / "folder").mkdir()
    assert "neither a bundle (it has no config.json) nor a root file system" in run_refuses(run, tmp_path / "folder")
    assert "write a command behind '--', as in" in run_refuses(run, image, "uname")
    assert "--entrypoint is for a command" in run_refuses(run, "-d", "--entrypoint", "", image)
    (tmp_path / "bad").write_bytes(b"")
    (tmp_path / "bad.json").write_text("{")
    assert "bad.json:1: " in run_refuses(run, tmp_path / "bad", "--", "x")


def run_refuses(run, *args):
    r = run("run", *args)
    assert r.returncode == 125 and r.stdout == b"", r
    return r.stderr.decode()
