# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest's agent, spoken to byte by byte as proto/agent.md has it. It is the guest's
own program, but runs here, on a UNIX socket."""
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

REQUEST, REPLY, INPUT, OUTPUT, ERRORS, TAKEN, SIGNAL, RESIZE, EXIT = range(9)
PROGRAM = os.environ.get("MICROVM_INIT")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="microvm-init is not in this build")


def frame(kind, data=b""):
    return struct.pack("<I", kind | len(data) << 8) + data


def strings(pairs):
    return b"".join(k.encode() + b"=" + (v if isinstance(v, bytes) else str(v).encode())
                    + b"\0" for k, v in pairs)


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.window = 65536

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def exactly(self, n):
        data = bytearray()
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def send(self, kind, data=b""):
        try:
            self.socket.sendall(frame(kind, bytes(data)))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended; what it said can still be read

    def receive(self):
        word, = struct.unpack("<I", self.exactly(4))
        return word & 255, self.exactly(word >> 8)

    def ask(self, *pairs):
        """The reply's strings as a dictionary."""
        if not any(k == "timeout_ms" for k, _ in pairs):
            pairs += (("timeout_ms", 20000),)
        self.send(REQUEST, strings(pairs))
        kind, data = self.receive()
        assert kind == REPLY
        return dict(s.split("=", 1) for s in data.decode().split("\0")[:-1])

    def command(self, *argv, **options):
        pairs = [("do", "exec")] + [("arg", a) for a in argv]
        return self.ask(*pairs, *options.items())

    def write(self, data):
        """Input as far as the window goes; the rest is returned."""
        piece = data[:self.window]
        if piece:
            self.send(INPUT, piece)
            self.window -= len(piece)
        return data[len(piece):]

    def rest(self, data=b""):
        """Feeds data and its end; output, errors, and what the exit says."""
        said = {OUTPUT: bytearray(), ERRORS: bytearray()}
        data = self.write(memoryview(data))
        ended = not data
        if ended:
            self.send(INPUT)
        while True:
            kind, piece = self.receive()
            if kind == EXIT:
                with pytest.raises((EOFError, ConnectionResetError)):
                    self.exactly(1)
                return (bytes(said[OUTPUT]), bytes(said[ERRORS]),
                        dict(s.split("=") for s in piece.decode().split("\0")[:-1]))
            if kind == TAKEN:
                self.window += struct.unpack("<I", piece)[0]
                assert self.window <= 65536
                data = self.write(data)
                if not data and not ended:
                    self.send(INPUT)
                    ended = True
            else:
                said[kind] += piece


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("agent") / "socket")
    p = subprocess.Popen([PROGRAM, "--listen", path], stdin=subprocess.DEVNULL)
    end = time.monotonic() + 5
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)
    yield lambda: Client(path)
    assert p.poll() is None, "the agent has died"
    p.terminate()
    p.wait(5)


def run(agent, *argv, data=b"", **options):
    with agent() as c:
        reply = c.command(*argv, **dict({"input": 1}, **options))
        assert "error" not in reply, reply
        return c.rest(data)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(what, seconds=5):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- exec -----------------------------------------------------------------------------

def test_streams_are_apart(agent):
    out, errors, end = run(agent, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (out, errors, end) == (b"out\n", b"err\n", {"code": "7"})


def test_input_and_output_of_any_size(agent):
    data = os.urandom(1 << 20) * 20
    out, errors, end = run(agent, "cat", data=data)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    assert (errors, end) == (b"", {"code": "0"})


def test_without_input_there_is_none(agent):
    with agent() as c:
        c.command("cat")
        assert c.rest()[2] == {"code": "0"}


def test_a_command_that_does_not_read(agent):
    out, _, end = run(agent, "sh", "-c", "exec <&-; sleep 0.2; echo done",
                      data=b"x" * 200000)
    assert (out, end) == (b"done\n", {"code": "0"})


def test_arguments_are_bytes(agent):
    words = [b"", b" a  b ", b"\xff\xfe", b"x=y", b"-n", b"\n", b"a" * 100000]
    out, _, _ = run(agent, "printf", "%s|", *words)
    assert out == b"|".join(words) + b"|"


def test_environment_and_place(agent, tmp_path):
    out, _, _ = run(agent, "sh", "-c", "echo $A; pwd; echo $HOME; echo $PATH",
                    env="A=b", cwd=tmp_path)
    a, where, home, path = out.decode().splitlines()
    assert (a, where, home) == ("b", str(tmp_path), "/")
    assert path.startswith("/usr/local/sbin:") and path.endswith(":/bin")
    out, _, _ = run(agent, "env", env="PATH=/bin")
    assert out == b"PATH=/bin\nHOME=/\n"


def test_many_variables(agent):
    with agent() as c:
        c.ask(("do", "exec"), ("arg", "env"), *[("env", "V%d=%d" % (i, i)) for i in range(1000)])
        out, _, _ = c.rest()
        assert len(out.splitlines()) == 1002


@pytest.mark.skipif(os.getuid() != 0, reason="other users need root")
def test_users(agent):
    script = ("sh", "-c", "id -u; id -g; echo $HOME")
    assert run(agent, *script, user="nobody")[0] == b"65534\n65534\n/nonexistent\n"
    assert run(agent, *script, user="1234:55")[0] == b"1234\n55\n/\n"
    assert run(agent, *script, user="nobody:root")[0].split()[1] == b"0"
    assert run(agent, "id", "-G", user="daemon")[0] == b"1\n"


@pytest.mark.parametrize("argv, options, code, words", [
    (["/no/such"], {}, "127", "/no/such: No such file"),
    (["no-such-command"], {}, "127", "no-such-command: No such file"),
    (["/etc/passwd"], {}, "126", "/etc/passwd: Permission denied"),
    (["/"], {}, "126", "/: Permission denied"),
    (["true"], {"cwd": "/no/such"}, "126", "the working directory /no/such: No such"),
    (["true"], {"user": "who-is-this"}, "126", "there is no user or group 'who-is-this'"),
    (["true"], {"user": "root:what"}, "126", "there is no user or group 'root:what'"),
    ([], {}, "126", "there is no command"),
    ([""], {}, "126", "there is no command"),
])
def test_what_cannot_be_run(agent, argv, options, code, words):
    with agent() as c:
        reply = c.command(*argv, **options)
        assert reply["code"] == code and words in reply["error"], reply
        with pytest.raises(EOFError):
            c.exactly(1)


def test_signals(agent):
    with agent() as c:
        c.command("sleep", "100")
        c.send(SIGNAL, bytes([signal.SIGTERM]))
        assert c.rest()[2] == {"code": "143", "signal": "15"}


def test_a_signal_passes_input_that_nobody_reads(agent):
    with agent() as c:
        c.command("sleep", "100", input=1)
        assert c.write(b"x" * 100000)
        c.send(SIGNAL, bytes([signal.SIGINT]))
        while c.receive()[0] != EXIT:
            pass


def test_time_is_limited(agent):
    with agent() as c:
        start = time.monotonic()
        reply = c.ask(("do", "exec"), ("timeout_ms", 300), ("arg", "sh"), ("arg", "-c"),
                      ("arg", "trap '' TERM HUP; sleep 100 & sleep 100; sleep 100"))
        assert c.rest()[2]["code"] == "124"
        assert 0.25 < time.monotonic() - start < 3
        wait_until(lambda: not alive(int(reply["pid"])))


def test_a_client_that_goes_leaves_nothing(agent):
    with agent() as c:
        reply = c.command("sh", "-c", "trap '' TERM HUP; sleep 1000 & echo $!; wait")
        kind, data = c.receive()
        pids = [int(reply["pid"]), int(data)]
        assert all(alive(p) for p in pids)
    wait_until(lambda: not any(alive(p) for p in pids))


def test_what_runs_on_after_its_command_keeps_nobody(agent):
    out, _, end = run(agent, "sh", "-c", "sleep 30 & echo $!")
    assert end == {"code": "0"}
    assert alive(int(out))
    os.kill(int(out), signal.SIGKILL)


def test_a_client_that_does_not_read_is_waited_for(agent):
    with agent() as c:
        reply = c.command("sh", "-c", "head -c 3000000 /dev/zero; echo end >&2")
        time.sleep(0.3)
        assert alive(int(reply["pid"]))  # it has not been able to say all
        out, errors, end = c.rest()
        assert (len(out), errors, end) == (3000000, b"end\n", {"code": "0"})


def test_fifty_at_once(agent):
    failures = []

    def one(n):
        try:
            data = os.urandom(100000) + str(n).encode()
            assert run(agent, "cat", data=data)[0] == data
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert not failures


# ---- terminals ----------------------------------------------------------------------------

def test_a_terminal(agent):
    with agent() as c:
        c.command("sh", "-c", "test -t 0 && test -t 2 && stty size; read x; echo got $x; stty size",
                  tty=1, columns=101, rows=31)
        assert c.receive() == (OUTPUT, b"31 101\r\n")
        c.send(RESIZE, struct.pack("<HH", 90, 20))
        c.write(b"hello\n")
        out, _, end = c.rest()
        assert out == b"hello\r\ngot hello\r\n20 90\r\n" and end == {"code": "0"}


def test_a_terminals_end_of_input(agent):
    with agent() as c:
        c.command("cat", tty=1)
        c.write(b"line\n")
        out, _, end = c.rest()
        assert out == b"line\r\nline\r\n" and end == {"code": "0"}


def test_keys_that_are_signals(agent):
    with agent() as c:
        c.command("sh", "-c", "echo ready; exec sleep 100", tty=1)
        assert c.receive() == (OUTPUT, b"ready\r\n")
        c.write(b"\x03")
        assert c.rest()[2] == {"code": "130", "signal": "2"}


# ---- the other verbs ------------------------------------------------------------------------

def test_info_and_metrics(agent):
    with agent() as c:
        info = c.ask(("do", "info"))
        assert info["kernel"] == os.uname().release and info["version"] == "1"
    with agent() as c:
        metrics = c.ask(("do", "metrics"))
        assert int(metrics["memory_bytes"]) > int(metrics["memory_free_bytes"]) > 0
    with agent() as c:
        assert c.ask(("do", "sync")) == {"version": "1"}


def test_a_newer_client_is_answered_in_our_version(agent):
    with agent() as c:
        assert c.ask(("do", "info"), ("version", 7))["version"] == "1"


def test_only_the_first_process_powers_off(agent):
    with agent() as c:
        assert "not the first process" in c.ask(("do", "main"), ("arg", "true"))["error"]
    with agent() as c:
        assert "not the first process" in c.ask(("do", "shutdown"))["error"]
    with agent() as c:
        assert "neither poweroff nor" in c.ask(("do", "shutdown"), ("how", "x"))["error"]


# ---- nonsense -----------------------------------------------------------------------------------

@pytest.mark.parametrize("data, words", [
    (frame(REQUEST), "no timeout_ms"),
    (frame(REQUEST, b"do=info\0"), "no timeout_ms"),
    (frame(REQUEST, b"do=info\0timeout_ms=soon\0"), "no timeout_ms"),
    (frame(REQUEST, b"do=info\0version=0\0timeout_ms=0\0"), "version"),
    (frame(REQUEST, b"timeout_ms=0\0"), "cannot do ''"),
    (frame(REQUEST, b"do=fly\0timeout_ms=0\0"), "cannot do 'fly'"),
    (frame(REQUEST, b"do=exec"), "no list of strings"),
    (frame(REQUEST, b"=x\0"), "no list of strings"),
    (frame(REQUEST, b"do\0"), "no list of strings"),
    (frame(REQUEST, strings([("do", "time"), ("unix_ns", "-5"), ("timeout_ms", 0)])), "no number"),
    (frame(INPUT, b"x"), None),
    (frame(9, b""), None),
    (frame(SIGNAL, b"12"), None),
    (b"\x00\xff\xff\xff", None),
    (b"GET / HTTP/1.1\r\n\r\n", None),
])
def test_nonsense(agent, data, words):
    with agent() as c:
        c.socket.sendall(data)
        if words:
            assert words in c.receive()[1].decode()
        with pytest.raises((EOFError, ConnectionResetError)):
            c.exactly(1)


def test_nonsense_after_a_request(agent):
    for data in (frame(REQUEST, b"do=info\0"), frame(OUTPUT, b"x"), frame(TAKEN, b"1234"),
                 2 * frame(INPUT, b"x" * 65536) + frame(INPUT, b"x")):
        with agent() as c:
            pid = int(c.command("sleep", "100", input=1)["pid"])
            c.socket.sendall(data)
            with pytest.raises((EOFError, ConnectionResetError)):
                while True:
                    c.receive()
            wait_until(lambda: not alive(pid))


def test_a_request_in_pieces(agent):
    with agent() as c:
        for byte in frame(REQUEST, b"do=info\0timeout_ms=0\0"):
            c.socket.sendall(bytes([byte]))
        assert c.receive()[0] == REPLY


def test_a_request_that_is_large(agent):
    with agent() as c:
        c.ask(("do", "exec"), ("arg", "sh"), ("arg", "-c"), ("arg", "echo ${#A} ${#B}"),
              ("env", "A=" + "a" * 130000), ("env", "B=" + "b" * 130000))
        assert c.rest()[0] == b"130000 130000\n"
