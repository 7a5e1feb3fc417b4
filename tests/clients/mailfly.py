"""Starts the mailfly binary for a test, reads its mail over HTTP, and ends it by its process id.

Knows the command line and the HTTP API; knows nothing of SMTP, which is the clients' part.
"""

import atexit
import http.client
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

# Long enough for a loaded machine with two cores; only a hang ever waits for so long.
SECONDS_MAX = 60
HOSTNAME = "mail.mailfly.test"
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What mailfly puts before a message when it is read, in this order, and nothing else.
TRACE = re.compile(
    rb"Return-Path: (?P<return_path><[^\r\n]*>)\r\n"
    rb"Delivered-To: (?P<delivered_to>[^\r\n]*)\r\n"
    rb"Received: (?P<received>[^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n"
)


def binary():
    """The binary under test: MAILFLY_BINARY, else the newest of cargo's own, else None."""
    named = os.environ.get("MAILFLY_BINARY")
    if named:
        return os.path.abspath(named)
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(TOP, "target")
    built = [os.path.join(target, profile, "mailfly") for profile in ("release", "debug")]
    return max((path for path in built if os.path.exists(path)), key=os.path.getmtime, default=None)


def environment():
    """This process's environment without the variables that would configure mailfly."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAILFLY_")}


# A test run that is told to end (by a time limit, say) cleans up like one that is interrupted.
signal.signal(signal.SIGTERM, signal.default_int_handler)


class Daemon:
    """A running mailfly. `prefix` is what it is started under (a namespace, another user)."""

    def __init__(self, *flags, smtp=("127.0.0.1:0",), http_address="127.0.0.1:0", prefix=(), path=None):
        path = path or binary()
        if path is None:
            raise FileNotFoundError("no mailfly binary: run `cargo build --release`, or set MAILFLY_BINARY")
        listeners = [word for address in smtp for word in ("--smtp", address)] + ["--http", http_address]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*prefix, path, *listeners, "--hostname", HOSTNAME, *flags],
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True)
        # An interrupted run passes over unittest's own cleanups. A process that has ended is not killed.
        atexit.register(self.process.kill)
        # A thread reads all that it prints, so that a full pipe never holds it up.
        lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self.reader.start()
        self.smtp = []
        self.http = None
        # One of each, if the flags ask for it.
        self.smtps = None
        self.https = None
        wanted = [name for name in ("smtps", "https") if f"--{name}" in flags]
        try:
            deadline = time.monotonic() + SECONDS_MAX
            while len(self.smtp) < len(smtp) or None in (self.http, *(getattr(self, name) for name in wanted)):
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
                if line is None:
                    raise RuntimeError("it ended before it listened")
                found = re.search(r"\b(smtps?|https?) listening on (\S+):(\d+)", line)
                if found:
                    address = (found[2].strip("[]"), int(found[3]))
                    if found[1] == "smtp":
                        self.smtp.append(address)
                    else:
                        setattr(self, found[1], address)
        except (queue.Empty, RuntimeError) as cause:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"mailfly did not start: {cause!r}\n{self.errors()}") from None

    def _read(self, lines):
        for line in self.process.stdout:
            lines.put(line)
        lines.put(None)

    def errors(self):
        """What it has written to its standard error so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self):
        """Ends it as an operator would, and returns its exit code; kills it if it will not go."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"mailfly did not end after SIGTERM\n{self.errors()}") from None
        finally:
            self.reader.join(SECONDS_MAX)
            self.process.stdout.close()
            self.log.close()


class Api:
    """Inbucket's REST v1, as a client of it would call it: one kept-alive connection."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(*address, timeout=SECONDS_MAX)

    def close(self):
        """Closes the connection."""
        self.connection.close()

    def call(self, method, *path):
        """The status, the content type and the body of the answer. Each part of the path is escaped."""
        target = "/api/v1/mailbox/" + "/".join(urllib.parse.quote(part, safe="") for part in path)
        self.connection.request(method, target)
        response = self.connection.getresponse()
        return response.status, response.headers.get_content_type(), response.read()

    def read(self, *path):
        """The body of a GET that must answer 200."""
        status, kind, body = self.call("GET", *path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {body[:200]!r}")
        return kind, body

    def list(self, name):
        """The messages of a mailbox, in the order the API lists them."""
        return json.loads(self.read(name)[1])

    def message(self, name, message_id):
        """One message, parsed by mailfly."""
        return json.loads(self.read(name, message_id)[1])

    def source(self, name, message_id):
        """The trace fields (as a match of TRACE) and the bytes that follow them."""
        body = self.read(name, message_id, "source")[1]
        trace = TRACE.match(body)
        if not trace:
            raise AssertionError(f"the source does not begin with the three trace fields: {body[:300]!r}")
        return trace, body[trace.end():]


class DaemonCase(unittest.TestCase):
    """Tests that share one daemon, which must end with exit code 0 after them."""

    # More room than any test here uses, so that nothing is evicted.
    FLAGS = ("--memory", "128MiB", "--mailbox-size", "16MiB", "--message-size", "2MiB",
             "--messages-per-mailbox", "2000")
    SMTP = ("127.0.0.1:0",)

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(*cls.FLAGS, smtp=cls.SMTP)
        cls.addClassCleanup(cls._stop)
        cls.api = Api(cls.daemon.http)
        cls.addClassCleanup(cls.api.close)

    @classmethod
    def _stop(cls):
        code = cls.daemon.stop()
        if code != 0:
            raise AssertionError(f"mailfly ended with exit code {code}")

    def only_message(self, name):
        """The one message of a mailbox, as listed."""
        messages = self.api.list(name)
        self.assertEqual(len(messages), 1, f"{name}: {messages}")
        return messages[0]

    def assert_kept(self, name, sent, reverse_path=None):
        """The mailbox holds one message, with these bytes; returns it as listed."""
        listed = self.only_message(name)
        self.assert_source(name, listed["id"], sent, reverse_path)
        self.assertTrue(len(sent) <= listed["size"] <= len(sent) + 2048, listed)
        return listed

    def assert_source(self, name, message_id, sent, reverse_path=None):
        """The message's bytes are those that were sent, after trace fields that tell the truth."""
        trace, kept = self.api.source(name, message_id)
        if kept != sent:  # assertEqual would print a megabyte
            at = next((at for at, pair in enumerate(zip(kept, sent)) if pair[0] != pair[1]), min(len(kept), len(sent)))
            self.fail(f"{name}: sent {len(sent)} bytes, kept {len(kept)}; from byte {at} on: "
                      f"sent {sent[at:at + 60]!r}, kept {kept[at:at + 60]!r}")
        if reverse_path is not None:
            self.assertEqual(trace["return_path"], b"<" + reverse_path.encode() + b">")
        self.assertIn(HOSTNAME.encode(), trace["received"])
        return trace


def program(name):
    """Where a program is that Debian may keep outside an ordinary user's PATH, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
