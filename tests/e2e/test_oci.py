# SPDX-License-Identifier: MIT OR Apache-2.0
"""Images of registries: pulled from Debian's docker-registry, whose images skopeo and umoci made, and from registries that
want tokens, break off, or lie, which a few lines of Python play."""
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time

import pytest

from test_image import build, have, run, tar_of  # noqa: F401: build is a fixture

CONFIG = {"Env": ["PATH=/bin", "A=old"], "Entrypoint": ["/bin/x"], "Cmd": ["-a"], "WorkingDir": "/srv", "User": "7:8"}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYERS = [[("etc/keep", b"1"), ("etc/drop", b"1"), ("var/a", b"1" * 300000)], [("etc/.wh.drop", b""), ("etc/new", b"2")],
          [("var/.wh..wh..opq", b""), ("var/b", b"3")]]


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


class Layout:
    """An OCI image layout (image-layout.md) of one image for some architectures."""

    def __init__(self, folder, archs=("amd64",), layers=LAYERS, lie=False, zstd_too=True):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        entries = []
        for arch in archs:
            tars = [layer(e) for e in layers + [[("arch", arch.encode())]]]
            packed = [zstd(t) if i == 1 and zstd_too and shutil.which("zstd") else gzip.compress(t, mtime=0) for i, t in enumerate(tars)]
            ids = [digest(t) for t in tars]
            if lie:
                ids[0] = digest(b"something else")
            config = self.blob(json.dumps({"os": "linux", "architecture": arch, "config": CONFIG,
                                           "rootfs": {"type": "layers", "diff_ids": ids}}).encode())
            kinds = ["zstd" if p[:4] == b"\x28\xb5\x2f\xfd" else "gzip" for p in packed]
            manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                        "config": dict(config, mediaType="application/vnd.oci.image.config.v1+json"),
                        "layers": [dict(self.blob(p), mediaType="application/vnd.oci.image.layer.v1.tar+" + k)
                                   for p, k in zip(packed, kinds)]}
            entries.append(dict(self.blob(json.dumps(manifest).encode()), platform={"os": "linux", "architecture": arch},
                                mediaType="application/vnd.oci.image.manifest.v1+json"))
        self.manifest = entries[0]
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
        self.index = self.blob(json.dumps(index).encode())
        top = dict(self.index, mediaType=index["mediaType"]) if len(archs) > 1 else dict(entries[0])
        top["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data):
        name = digest(data)
        (self.folder / "blobs/sha256" / name[7:]).write_bytes(data)
        return {"digest": name, "size": len(data)}

    def read(self, name):
        return (self.folder / "blobs/sha256" / name[7:]).read_bytes()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Debian's docker-registry; its address."""
    have("docker-registry", "skopeo")
    folder = tmp_path_factory.mktemp("registry")
    address = "127.0.0.1:%d" % free_port()
    (folder / "config.yml").write_text(json.dumps({
        "version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address}}))
    p = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    host, port = address.split(":")
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
            break
        except OSError:
            assert time.monotonic() < deadline and p.poll() is None
            time.sleep(0.05)
    yield address
    p.terminate()
    p.wait(10)


def push(layout, address, name, *flags):
    run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", *flags, "oci:%s:latest" % layout.folder,
        "docker://%s/%s" % (address, name))


def files_of(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}


@pytest.fixture
def pull(build, tmp_path):  # noqa: F811
    """Builds a tar from a reference, with a cache of the test's own; gives its files."""
    def run_it(reference, *args, **env):
        env.setdefault("XDG_CACHE_HOME", str(tmp_path / "cache"))
        env.setdefault("DOCKER_CONFIG", str(tmp_path / "docker"))
        r = build("-q", "--base", "oci:" + reference, "--format", "tar", "-o", tmp_path / "out.tar", *args, **env)
        assert r.returncode == 0, r.stderr
        return files_of(tmp_path / "out.tar")

    def refuses(reference, *args, **env):
        env.setdefault("XDG_CACHE_HOME", str(tmp_path / "cache"))
        env.setdefault("DOCKER_CONFIG", str(tmp_path / "docker"))
        return build.refuses("-q", "--base", "oci:" + reference, "--format", "tar", "-o", tmp_path / "no.tar", *args, **env)
    run_it.refuses = refuses
    return run_it


WANTED = {"etc/keep": b"1", "etc/new": b"2", "var/b": b"3"}


# ---- real parts ----


@pytest.mark.parametrize("flags", [(), ("--format", "v2s2")])
def test_from_docker_registry(registry, pull, tmp_path, flags):
    push(Layout(tmp_path / "layout", zstd_too=not flags), registry, "a/b:1", *flags)  # Docker's format knows no zstd
    assert pull("%s/a/b:1" % registry) == dict(WANTED, arch=b"amd64")
    about = json.loads((tmp_path / "out.tar.json").read_text())
    assert about["env"] == CONFIG["Env"] and about["entrypoint"] == ["/bin/x"] and about["cmd"] == ["-a"]
    assert about["workdir"] == "/srv" and about["user"] == "7:8"


def test_the_recipe_goes_before_the_image(registry, pull, tmp_path):
    push(Layout(tmp_path / "layout"), registry, "a/c:1")
    pull("%s/a/c:1" % registry, "--env", "A=new", "--entrypoint", "/bin/y")
    about = json.loads((tmp_path / "out.tar.json").read_text())
    assert about["env"] == ["PATH=/bin", "A=new"] and about["entrypoint"] == ["/bin/y"] and "cmd" not in about


def test_an_index_is_asked_for_our_platform(registry, pull, tmp_path):
    layout = Layout(tmp_path / "layout", archs=("arm64", "amd64"))
    push(layout, registry, "multi:1", "--all")
    assert pull("%s/multi:1" % registry)["arch"] == b"amd64"
    assert pull("%s/multi:1" % registry, "--arch", "arm64")["arch"] == b"arm64"
    assert pull("%s/multi@%s" % (registry, layout.index["digest"]))["arch"] == b"amd64"
    push(Layout(tmp_path / "other", archs=("arm64", "riscv64")), registry, "other:1", "--all")
    assert "none for Linux on x86_64" in pull.refuses("%s/other:1" % registry)
    push(Layout(tmp_path / "arm", archs=("arm64",)), registry, "arm:1")
    assert "is for arm64, not for x86_64" in pull.refuses("%s/arm:1" % registry)


def test_an_image_of_umoci(registry, pull, tmp_path):
    have("umoci")
    image = "%s:latest" % (tmp_path / "umoci")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "init", "--layout", tmp_path / "umoci")
    run("umoci", "new", "--image", image)
    run("umoci", "unpack", *rootless, "--image", image, tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/one").write_text("1")
    (tmp_path / "bundle/rootfs/two").write_text("2")
    run("umoci", "repack", "--image", image, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle")
    run("umoci", "unpack", *rootless, "--image", image, tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/one").unlink()
    run("umoci", "repack", "--image", image, tmp_path / "bundle")
    run("umoci", "config", "--image", image, "--config.cmd", "/two")
    run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "oci:" + image, "docker://%s/umoci:1" % registry)
    assert pull("%s/umoci:1" % registry) == {"two": b"2"}
    assert json.loads((tmp_path / "out.tar.json").read_text())["cmd"] == ["/two"]


def test_what_is_not_there(registry, pull):
    assert "not there, or not for everybody" in pull.refuses("%s/nothing:1" % registry)


# ---- a registry in a few lines ----


class Registry(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, layout):
        super().__init__(("127.0.0.1", 0), Handler)
        self.handle_error = lambda *_: None  # who breaks off is no news
        self.layout = layout
        self.address = "127.0.0.1:%d" % self.server_port
        self.log = []          # requests
        self.user = None       # "name:password" that gets a token
        self.basic = False     # no token, the password itself
        self.break_after = 0   # bytes of a blob, this many times
        self.breaks = 0
        self.ranges = True
        self.forge = False
        self.manifest = None
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def user(self):
        kind, _, what = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(what).decode() if kind == "Basic" else kind and kind + " " + what

    def do_GET(self):
        s = self.server
        s.log.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/token"):
            if s.user and self.user() not in (s.user,):
                return self.answer(401)
            return self.answer(200, json.dumps({"token": "good-token"}).encode())
        if s.basic and self.user() != s.user:
            return self.answer(401, WWW_Authenticate='Basic realm="here"')
        if s.user and not s.basic and self.user() != "Bearer good-token":
            return self.answer(401, WWW_Authenticate='Bearer realm="http://%s/token",service="a, b",scope="x"' % s.address)
        kind, name = self.path.split("/")[-2:]
        if kind == "manifests":
            return self.answer(200, s.manifest or s.layout.read(s.layout.manifest["digest"]))
        data = s.layout.read(name)
        if s.forge:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        wanted = self.headers.get("Range")
        if wanted and s.ranges:
            start = int(wanted[6:-1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        data = data[start:]
        if s.breaks and len(data) > s.break_after:
            s.breaks -= 1
            self.wfile.write(data[:s.break_after])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(data)


@pytest.fixture
def fake(tmp_path):
    noise = [("noise", os.urandom(400000))]
    s = Registry(Layout(tmp_path / "layout", layers=LAYERS + [noise]))
    yield s
    s.shutdown()
    s.server_close()


def docker_login(tmp_path, address, user, **more):
    (tmp_path / "docker").mkdir(exist_ok=True)
    auths = {address: {"auth": base64.b64encode(user.encode()).decode()}} if user else {}
    (tmp_path / "docker/config.json").write_text(json.dumps(dict({"auths": auths}, **more)))


def test_a_token_for_who_has_credentials(fake, pull, tmp_path):
    fake.user = "me:secret:with:colons"
    reference = "%s/private/x:1" % fake.address
    assert "docker login" in pull.refuses(reference)
    docker_login(tmp_path, fake.address, None, credsStore="no-such-thing")
    assert "docker-credential-no-such-thing, which docker's config.json names, could not be run" in pull.refuses(reference)
    docker_login(tmp_path, fake.address, "me:wrong")
    assert "not for this user" in pull.refuses(reference)
    docker_login(tmp_path, "http://%s/v1/" % fake.address, fake.user)
    assert pull(reference)["etc/keep"] == b"1"
    asked = next(p for p, _ in fake.log if p.startswith("/token"))
    assert "service=a%2C%20b" in asked and "scope=repository:private/x:pull" in asked


KEEPER = """#!/bin/sh
# What docker-credential-keeper is asked, and what it knows.
read server
echo "$1 $server" >>%(asked)s
case $server in
%(address)s) printf '{"ServerURL": "%%s", "Username": "me", "Secret": "%%s"}' "$server" '%(secret)s' ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_program_that_keeps_credentials(fake, pull, tmp_path, monkeypatch, key):
    """It goes before what the file itself says, as with docker."""
    asked, program = tmp_path / "asked", tmp_path / "docker-credential-keeper"
    fake.user = "me:a secret " + "x" * 3000  # as long as some clouds' are
    program.write_text(KEEPER % dict(asked=asked, address=fake.address, secret=fake.user[3:]))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    reference = "%s/private/x:1" % fake.address
    more = {key: "keeper" if key == "credsStore" else {fake.address: "keeper"}}
    docker_login(tmp_path, fake.address, "me:wrong", **more)
    assert pull(reference)["etc/keep"] == b"1"
    assert asked.read_text() == "get %s\n" % fake.address
    fake.user = "me:another"
    reference = reference.replace("x:", "y:")  # what is in the cache is not asked for
    assert "not for this user" in pull.refuses(reference)
    program.write_text("#!/bin/sh\necho the keychain is locked; exit 3\n")
    assert "docker-credential-keeper ended with status 3: the keychain is locked" in pull.refuses(reference)
    program.write_text(KEEPER % dict(asked=asked, address="other.example", secret="x"))
    assert "docker login" in pull.refuses(reference)  # as nobody


def test_ctrl_c_while_such_a_program_thinks(fake, build, tmp_path, monkeypatch):  # noqa: F811
    program, began = tmp_path / "docker-credential-keeper", tmp_path / "began"
    fake.user = "me:secret"
    program.write_text("#!/bin/sh\ntouch %s\nexec sleep 60\n" % began)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    docker_login(tmp_path, fake.address, None, credsStore="keeper")
    env = dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache"), DOCKER_CONFIG=str(tmp_path / "docker"))
    p = subprocess.Popen([build.path, "-q", "--base", "oci:%s/private/x:1" % fake.address, "-o", str(tmp_path / "no.img")], env=env,
                         stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not began.exists():
        assert time.monotonic() < deadline and p.poll() is None
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    _, said = p.communicate(timeout=20)
    assert p.returncode == 130 and said.endswith(b"cancelled; nothing was written\n"), said
    program.write_text("#!/bin/sh\nyes\n")  # more than anybody asked for
    r = build("-q", "--base", "oci:%s/private/x:1" % fake.address, "-o", tmp_path / "no.img", XDG_CACHE_HOME=env["XDG_CACHE_HOME"],
              DOCKER_CONFIG=env["DOCKER_CONFIG"])
    assert r.returncode == 125 and b"docker-credential-keeper" in r.stderr, r


def test_basic_authentication(fake, pull, tmp_path):
    fake.user, fake.basic = "me:secret", True
    assert "docker login" in pull.refuses("%s/x:1" % fake.address)
    docker_login(tmp_path, fake.address, fake.user)
    assert pull("%s/x:1" % fake.address)["etc/keep"] == b"1"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_made_again(fake, pull, ranges):
    fake.ranges, fake.breaks, fake.break_after = ranges, 2, 150000
    assert len(pull("%s/x:1" % fake.address)["noise"]) == 400000
    assert fake.breaks == 0
    assert [r for p, r in fake.log if r] == (["bytes=150000-", "bytes=300000-"] if ranges else
                                             ["bytes=150000-", "bytes=150000-"])


def test_what_was_broken_off_goes_on_later(fake, pull, tmp_path):
    fake.breaks, fake.break_after = 1000, 0
    message = pull.refuses("%s/x:1" % fake.address)
    fake.breaks, fake.break_after = 0, 0
    noise = max(json.loads(fake.layout.read(fake.layout.manifest["digest"]))["layers"], key=lambda d: d["size"])["digest"]
    data = fake.layout.read(noise)
    blobs = tmp_path / "cache/microvm/images/blobs/sha256"
    (blobs / (noise[7:] + ".part")).write_bytes(data[:1000])  # as a killed one leaves it
    assert message
    assert len(pull("%s/x:1" % fake.address)["noise"]) == 400000
    assert "bytes=1000-" in [r for p, r in fake.log]
    assert not [n for n in os.listdir(blobs) if ".part" in n]


def test_a_forged_blob_is_refused_and_not_kept(fake, pull, tmp_path):
    fake.forge = True
    assert "damaged or forged" in pull.refuses("%s/x:1" % fake.address)
    assert not [n for n in os.listdir(tmp_path / "cache/microvm/images/blobs/sha256") if n.endswith(".part")]
    fake.forge = False
    assert pull("%s/x:1" % fake.address)["etc/keep"] == b"1"


def test_a_forged_manifest_is_refused(fake, pull):
    fake.manifest = fake.layout.read(fake.layout.manifest["digest"]) + b" "
    message = pull.refuses("%s/x@%s" % (fake.address, fake.layout.manifest["digest"]))
    assert "damaged or forged" in message


def test_a_config_that_lies_of_its_layers_is_refused(pull, tmp_path):
    s = Registry(Layout(tmp_path / "lie", lie=True))
    assert "layer 1 is not what the image's config says" in pull.refuses("%s/x:1" % s.address)
    s.shutdown()
    s.server_close()


def test_the_cache_serves_without_a_registry(fake, pull):
    reference = "%s/x:1" % fake.address
    first = pull(reference)
    fake.shutdown()
    fake.server_close()
    asked = len(fake.log)
    assert pull(reference) == first and len(fake.log) == asked
    assert pull.refuses("%s/y:1" % fake.address)  # nobody answers


def test_two_pull_at_once(fake, build, tmp_path):  # noqa: F811
    env = dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache"), DOCKER_CONFIG=str(tmp_path / "none"))
    both = [subprocess.Popen([build.path, "-q", "--base", "oci:%s/x:1" % fake.address, "--format", "tar", "-o",
                              str(tmp_path / ("%d.tar" % i))], env=env) for i in range(4)]
    assert [p.wait(30) for p in both] == [0] * 4
    assert len({(tmp_path / ("%d.tar" % i)).read_bytes() for i in range(4)}) == 1
    blobs = [p for p, r in fake.log if "/blobs/" in p]
    assert len(blobs) == len(set(blobs))  # nobody waited for nothing


@pytest.mark.parametrize("reference, words", [
    ("UPPER", "lower-case"), ("a//b", "lower-case"), ("../../x", "host name"), ("a:b:c", "tag"),
    ("a@sha256:12", "64 digits"), ("a:", "tag"), ("host:99999999/a", "host name"), ("a/../b", "lower-case"),
])
def test_references_that_are_none(pull, reference, words):
    assert words in pull.refuses(reference)


# ---- the cache ----


@pytest.fixture
def cache(build, tmp_path):  # noqa: F811
    def ask(*args, **kw):
        r = build("cache", *args, XDG_CACHE_HOME=str(tmp_path / "cache"), DOCKER_CONFIG=str(tmp_path / "docker"), **kw)
        assert r.returncode == 0, r.stderr
        return r.stdout.decode()
    ask.blobs = lambda: set(os.listdir(tmp_path / "cache/microvm/images/blobs/sha256"))
    ask.refuses = lambda *args: build.refuses("cache", *args, XDG_CACHE_HOME=str(tmp_path / "cache"))
    return ask


def test_pull_list_remove_prune(fake, cache, pull, tmp_path):
    assert cache("list") == "" and cache("list", "--json") == "[]\n"
    wanted = fake.layout.manifest["digest"]
    assert cache("-q", "pull", "%s/x:1" % fake.address, "%s/y:2" % fake.address) == wanted + "\n" + wanted + "\n"
    listed = json.loads(cache("list", "--json"))
    assert [i["reference"] for i in listed] == ["%s/x:1" % fake.address, "%s/y:2" % fake.address]
    assert listed[0]["digest"] == wanted and listed[0]["bytes"] > 400000 and listed[0]["arch"] == "x86_64"
    table = cache("list").splitlines()
    assert table[0].split() == ["REFERENCE", "ARCH", "DIGEST", "SIZE"] and wanted[7:19] in table[1]
    blobs = cache.blobs()
    (tmp_path / "cache/microvm/images/blobs/sha256" / ("0" * 64)).write_bytes(b"of no image")
    (tmp_path / "cache/microvm/images/blobs/sha256" / ("1" * 64 + ".part")).write_bytes(b"half")
    cache("prune")
    assert cache.blobs() == blobs
    cache("rm", "%s/x:1" % fake.address)
    assert cache.blobs() == blobs  # y has them, too
    assert pull("%s/y:2" % fake.address)["etc/keep"] == b"1"
    assert "is not in the cache" in cache.refuses("rm", "%s/x:1" % fake.address)
    cache("prune", "--all")
    assert cache.blobs() == set() and cache("list") == ""


def test_a_pull_asks_what_a_tag_stands_for_now(fake, cache, tmp_path):
    old = cache("-q", "pull", "%s/x:1" % fake.address)
    fake.layout = Layout(tmp_path / "newer", layers=[[("newer", b"1")]])
    new = cache("-q", "pull", "%s/x:1" % fake.address)
    assert new != old and new.strip() == fake.layout.manifest["digest"]
    assert [i["digest"] for i in json.loads(cache("list", "--json"))] == [new.strip()]
    before = len(cache.blobs())
    cache("prune")
    assert len(cache.blobs()) < before


def test_microvm_has_the_names_of_docker(fake, microvm, build, tmp_path):  # noqa: F811
    env = dict(XDG_CACHE_HOME=str(tmp_path / "cache"), DOCKER_CONFIG=str(tmp_path / "docker"))
    r = microvm("pull", "-q", "%s/x:1" % fake.address, **env)
    assert r.returncode == 0 and r.stdout.decode().strip() == fake.layout.manifest["digest"], r.stderr
    assert [i["arch"] for i in json.loads(microvm("images", "--json", **env).stdout)] == ["x86_64"]
    assert fake.address.encode() in microvm("images", **env).stdout
    assert microvm("rmi", "%s/x:1" % fake.address, **env).returncode == 0
    assert microvm("images", **env).stdout == b""
    assert microvm("rmi", "%s/x:1" % fake.address, **env).returncode == 125
    assert microvm("prune", "--all", **env).returncode == 0


@pytest.mark.parametrize("args, words", [
    ([], "one of list, pull, disk, rm, prune"), (["lst"], "did you mean 'list'?"), (["pull"], "which image?"),
    (["list", "x"], "one word too many"), (["pull", "UPPER"], "lower-case"),
])
def test_cache_refusals(cache, args, words):
    assert words in cache.refuses(*args)


def test_a_distributions_base_of_a_mirror(build, registry, tmp_path):  # noqa: F811
    """debian:bookworm is library/debian:bookworm of docker.io, or of who mirrors it; without either it says what serves."""
    push(Layout(tmp_path / "layout"), registry, "library/debian:bookworm")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "DOCKER_CONFIG": str(tmp_path / "docker")}
    words = ["-q", "--base", "debian:bookworm", "--format", "tar", "-o", tmp_path / "out.tar"]
    r = build(*words, "--registry", registry, **env)
    assert r.returncode == 0, r.stderr
    assert files_of(tmp_path / "out.tar")["etc/new"] == b"2"
    message = build.refuses(*words, "--registry", "127.0.0.1:%d" % free_port(), "-o", tmp_path / "no.tar", **env)
    assert "--registry HOST" in message and "tar:PATH" in message and not (tmp_path / "no.tar").exists()
