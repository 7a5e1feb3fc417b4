"""What scripts/hostile and scripts/soak both do: build, start mailfly and loadgen, each on its core, read the
kernel's accounts of them, and end what was started, whatever happens."""

import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR") or os.path.join(TOP, "target"))
# How long a program may take to start or to end before it is given up.
SECONDS_MAX = 60


class Trouble(Exception):
    """What ends the whole of it, in words for the one who runs it."""


class Interruption:
    """Ctrl-C, and being told to end: not heard while something is started or ended, so that nothing that was started
    is ever forgotten, nor ended by halves."""

    def __init__(self):
        self.asked = self.waits = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle)

    def handle(self, *_):
        self.asked = True
        if not self.waits:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def put_off(self):
        """While this lasts nothing is raised; afterwards what came meanwhile is."""
        self.waits, asked = True, self.asked
        try:
            yield
        finally:
            self.waits = False
        if self.asked and not asked:
            raise KeyboardInterrupt


INTERRUPTION = Interruption()


def build():
    """Builds both programs as users run them; the folder that they are in."""
    if shutil.which("cargo") is None:
        raise Trouble("cargo is missing (https://rustup.rs); or name built programs with --binaries")
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--workspace", "--bins"]
    if subprocess.run(command, cwd=TOP, check=False).returncode != 0:
        raise Trouble("the build failed")
    return os.path.join(TARGET, "release")


def program(folder, name):
    """The path of a built program."""
    path = os.path.abspath(os.path.join(folder, name))
    if not os.access(path, os.X_OK):
        raise Trouble(f"there is no program {path}")
    return path


def raise_descriptors():
    """As many descriptors as may be had, for the programs to inherit; how many that is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def on_core(place):
    """What a command is started under to be on the first core (0: the server) or the second (1: who loads it)."""
    cores = sorted(os.sched_getaffinity(0))
    if shutil.which("taskset") is None or len(cores) < 2:
        return []
    return ["taskset", "-c", str(cores[place])]


def when_idle():
    """What a command is started under to have the CPU only when nobody else wants it."""
    return ["chrt", "--idle", "0"] if shutil.which("chrt") else ["nice", "-n", "19"]


def free_ports(count):
    """Ports that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


class Server:
    """A running mailfly."""

    def __init__(self, path, flags):
        self.smtp, self.http, self.smtps = free_ports(3)
        addresses = [word for name in ("smtp", "http", "smtps")
                     for word in (f"--{name}", f"127.0.0.1:{getattr(self, name)}")]
        # Variables that configure mailfly are not part of its defaults.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILFLY_")}
        self.log = tempfile.TemporaryFile()
        # taskset becomes the server: it is one process.
        self.process = subprocess.Popen(
            [*on_core(0), path, *addresses, *flags], env=environment, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, start_new_session=True)

    @property
    def pid(self):
        """Its process."""
        return self.process.pid

    def wait_until_it_serves(self):
        """Until it greets."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                deliver(self.smtp, "127.0.0.1", 5)
                return
            time.sleep(0.02)
        raise Trouble(f"mailfly did not start:\n{self.said()}")

    def said(self):
        """All that it wrote."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def cpu_seconds(self):
        """User and system time of all that it ever did, from the kernel's clock ticks."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            # The second field is a name in parentheses, which may have anything in it.
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_seconds(self):
        """How long it was ready to run and had to wait for its core, which somebody else had."""
        with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9

    def resident_kib(self):
        """Its resident memory, counted page by page: what the kernel has at hand lags behind."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))

    def descriptors(self):
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def end(self):
        """Ends it as an operator would; kills it if it will not go."""
        end(self.process)
        self.log.close()


@contextlib.contextmanager
def serving(path, flags):
    """A server that serves while this lasts."""
    server = None
    try:
        with INTERRUPTION.put_off():
            server = Server(path, flags)
        server.wait_until_it_serves()
        yield server
    finally:
        if server:
            with INTERRUPTION.put_off():
                server.end()


class Load:
    """A running loadgen, whose report is JSON."""

    def __init__(self, path, server, flags, under=()):
        self.command = [*on_core(1), *under, path, "--json", "--quiet", "--smtp", f"127.0.0.1:{server.smtp}",
                        "--http", f"127.0.0.1:{server.http}", "--smtps", f"127.0.0.1:{server.smtps}",
                        "--pid", str(server.pid), *flags]
        # Files, since nobody reads a pipe while it runs.
        self.out, self.errors = (tempfile.TemporaryFile() for _ in range(2))
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.errors, start_new_session=True)

    def tell_to_end(self):
        """It ends and reports."""
        if self.process.poll() is None:
            self.process.terminate()

    def report(self, patience):
        """Waits for its end; what it reported. That a check of its own failed is in there."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Trouble(f"loadgen did not end: {' '.join(self.command)}") from None
        self.out.seek(0)
        self.errors.seek(0)
        text, errors = self.out.read().decode(), self.errors.read().decode(errors="replace")
        try:
            return json.loads(text)
        except ValueError:
            status = self.process.returncode
            raise Trouble(f"loadgen ended with {status}: {' '.join(self.command)}\n{errors}{text[:2000]}") from None

    def end(self):
        """Ends it, if it is still there."""
        end(self.process)
        self.out.close()
        self.errors.close()


@contextlib.contextmanager
def loading(path, server, flags, under=()):
    """A load that is ended, by its process id, when this is over."""
    load = None
    try:
        with INTERRUPTION.put_off():
            load = Load(path, server, flags, under)
        yield load
    finally:
        if load:
            with INTERRUPTION.put_off():
                load.end()


def end(process):
    """Ends a process that we started, and waits for it."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def deliver(port, source, patience):
    """Brings one whole message from this address, in lockstep; OSError if that takes longer or is refused."""
    body = b"Subject: is it there\r\n\r\nThat is the question.\r\n.\r\n"
    deadline = time.monotonic() + patience
    with socket.create_connection(("127.0.0.1", port), patience, source_address=(source, 0)) as stream:
        for said, code in ((b"", b"220"), (b"EHLO probe.example.org\r\n", b"250"),
                           (b"MAIL FROM:<probe@example.org>\r\n", b"250"),
                           (b"RCPT TO:<probe@example.com>\r\n", b"250"), (b"DATA\r\n", b"354"), (body, b"250")):
            stream.sendall(said)
            reply = b""
            while not (reply.endswith(b"\n") and reply.splitlines()[-1][3:4] == b" "):
                stream.settimeout(max(0.001, deadline - time.monotonic()))
                came = stream.recv(4096)
                if not came or len(reply) > 10_000:
                    raise ConnectionError("it closed")
                reply += came
            if not reply.startswith(code):
                raise ConnectionError(reply.decode(errors="replace"))
        stream.sendall(b"QUIT\r\n")


def machine():
    """What the figures were made on."""
    processor = platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        processor = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), processor)
    return {"processor": processor, "cores": os.cpu_count(), "kernel": platform.release()}


def markdown(head, rows):
    """A table."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(folder, text, results):
    """Both files of results, and the text to standard output."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    print(text)
