#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Images: a layer set of a registry into squashfs, beside tar2sqfs on the same files.

  bench_image.py [-n ROUNDS] [--mib MIB] [--json FILE]

Three gzip layers with files of this machine, pulled into the cache from a registry of our
own before the clock runs; tar2sqfs gets the same files in one gzip archive. Both compress
with zstd; at microvm-build's level, which is judged, and at tar2sqfs' own.
"""
import argparse
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

import common

BUILD = os.environ.get("MICROVM_BUILD_PROGRAM", os.path.join(common.TOP, "build/cli/microvm-build"))
AT_MOST = 1.2
LAYERS = 3
TYPE = "application/vnd.oci.image."
ROWS = {"tar2sqfs": [], "tar2sqfs-level": ["-X", "level=%d"]}


def files_of_this_machine(mib):
    """As many files as make so many MiB, in an order of their own."""
    left = mib << 20
    for top in ("/usr/include", "/usr/lib/python3", "/usr/bin", "/usr/lib", "/usr/share"):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for path in (os.path.join(folder, n) for n in sorted(names)):
                if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                    left -= os.path.getsize(path)
                    if left < 0:
                        return
                    yield path


def archive(paths):
    def ours(info):
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in paths:
            tar.add(path, recursive=False, filter=ours)
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(archives):
    """What a registry has to answer: {path: (type, bytes)}."""
    answers, layers = {}, []

    def blob(data, kind):
        answers["/v2/bench/blobs/" + digest(data)] = (kind, data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}
    for a in archives:
        layers.append(blob(gzip.compress(a, 6, mtime=0), TYPE + "layer.v1.tar+gzip"))
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [digest(a) for a in archives]}}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": TYPE + "manifest.v1+json", "layers": layers,
                           "config": blob(json.dumps(config).encode(), TYPE + "config.v1+json")}).encode()
    for name in ("latest", digest(manifest)):
        answers["/v2/bench/manifests/" + name] = (TYPE + "manifest.v1+json", manifest)
    return answers


def registry(answers):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            kind, data = answers.get(self.path, ("text/plain", b""))
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "127.0.0.1:%d/bench:latest" % server.server_port


def level():
    """The level of our zstd, as the source has it."""
    with open(os.path.join(common.TOP, "image/write_squashfs.c")) as f:
        return int(re.search(r"ZSTD_LEVEL = (\d+)", f.read()).group(1))


def timed(argv, **how):
    began = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **how)
    return time.monotonic() - began


class Bench:
    def __init__(self, work, mib):
        self.work, self.env = work, dict(os.environ, XDG_CACHE_HOME=work)
        paths = list(files_of_this_machine(mib))
        archives = [archive(paths[i::LAYERS]) for i in range(LAYERS)]
        self.reference = registry(image(archives))
        subprocess.run([BUILD, "cache", "pull", "-q", self.reference], check=True, env=self.env, stdout=subprocess.DEVNULL)
        self.one = os.path.join(work, "one.tar.gz")
        with open(self.one, "wb") as f:
            f.write(gzip.compress(archive(paths), 6))
        common.say("%d files, %.0f MiB, %d layers" % (len(paths), sum(map(len, archives)) / 2**20, LAYERS))

    def run(self, row):
        out = os.path.join(self.work, row + ".squashfs")
        if os.path.exists(out):
            os.unlink(out)
        if row == "microvm-build":
            spent = timed([BUILD, "--base", "oci:" + self.reference, "-q", "--output", out], env=self.env)
        else:
            with open(self.one, "rb") as f:
                words = [w % level() if "%" in w else w for w in ROWS[row]]
                spent = timed(["tar2sqfs", "-q", "-c", "zstd", *words, out], stdin=f)
        return spent, os.path.getsize(out)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--rounds", type=int, default=5)
    ap.add_argument("--mib", type=int, default=100)
    ap.add_argument("--json")
    opt = ap.parse_args()
    if not shutil.which("tar2sqfs"):
        print("bench_image: no tar2sqfs (Debian: squashfs-tools-ng)")
        return 77
    rows = ["microvm-build", *ROWS]
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(work, opt.mib)
        got = {r: [] for r in rows}
        for i in range(opt.rounds):
            for r in rows[i % len(rows):] + rows[:i % len(rows)]:
                got[r].append(bench.run(r))
    median = {r: statistics.median(s for s, _ in g) for r, g in got.items()}
    for r in rows:
        print(f"{r:<16} {median[r]:6.2f} s ({min(got[r])[0]:.2f}-{max(got[r])[0]:.2f}) {got[r][0][1] / 2**20:6.1f} MiB")
    ratio = median["microvm-build"] / median["tar2sqfs-level"]
    print(f"{'ok' if ratio <= AT_MOST else 'MISSED'}: {ratio:.2f} of tar2sqfs at our level, at most {AT_MOST}")
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({"median_s": median, "rounds": got, "ratio": ratio}, f, indent=2)
    return ratio > AT_MOST


if __name__ == "__main__":
    sys.exit(main())
