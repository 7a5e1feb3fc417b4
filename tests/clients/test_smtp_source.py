"""Postfix's smtp-source against the running daemon: thousands of messages over many sessions."""

import glob
import os
import subprocess
import tempfile
import unittest

from mailfly import SECONDS_MAX, TOP, DaemonCase, environment, program
from wire import Recorder

SENDER = "sender@example.com"
# Where scripts/unpack-postfix puts it.
UNPACKED = os.environ.get("MAILFLY_POSTFIX") or os.path.join(TOP, "target", "postfix")
COMMAND = next(filter(os.path.exists, [os.path.join(UNPACKED, "usr/sbin/smtp-source")]), program("smtp-source"))


@unittest.skipUnless(COMMAND, "smtp-source is missing; scripts/unpack-postfix puts it beside the build")
class SmtpSource(DaemonCase):
    """smtp-source is driven twice over: against the daemon itself, and through a recorder."""

    FLAGS = ("--memory", "128MiB", "--mailbox-size", "32MiB", "--message-size", "2MiB",
             "--messages-per-mailbox", "2000", "--mailboxes", "8192")

    def smtp_source(self, port, *flags):
        libraries = glob.glob(f"{UNPACKED}/usr/lib/postfix") + glob.glob(f"{UNPACKED}/usr/lib/*-linux-gnu")
        run = subprocess.run(
            [COMMAND, "-M", "source.example.com", "-f", SENDER, *flags, f"127.0.0.1:{port}"],
            env={**environment(), "LD_LIBRARY_PATH": ":".join(libraries)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * SECONDS_MAX, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)

    def recorded(self, *flags):
        """Runs it through a recorder and returns the messages that it sent."""
        with Recorder(self.daemon.smtp[0]) as recorder:
            self.smtp_source(recorder.port, *flags)
            return recorder.sent()

    def test_a_thousand_messages_in_a_thousand_sessions(self):
        content = b"Subject: one of many\n\n.\n..dots\nthe body\n.\n"
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.smtp_source(self.daemon.smtp[0][1], "-m", "1000", "-s", "20", "-F", file.name,
                             "-t", "thousand@example.com")
        listed = self.api.list("thousand@example.com")
        self.assertEqual(len({item["id"] for item in listed}), 1000)
        # It writes CRLF, dot, CRLF after the last line's own CRLF: an empty line more than the file has.
        sent = content.replace(b"\n", b"\r\n") + b"\r\n"
        for item in listed:
            self.assert_source("thousand@example.com", item["id"], sent, SENDER)

    def test_a_thousand_messages_in_fifty_sessions_to_a_thousand_mailboxes(self):
        sent = self.recorded("-m", "1000", "-s", "50", "-d", "-N", "-l", "4096", "-S", "spread",
                             "-t", "spread@example.com")
        self.assertEqual(len({one.recipients[0] for one in sent}), 1000)
        for one in sent:
            self.assertEqual(self.assert_kept(one.recipients[0], one.data, SENDER)["subject"], "spread")

    def test_fifty_recipients_each(self):
        sent = self.recorded("-m", "10", "-s", "5", "-r", "50", "-t", "shared@example.com")
        self.assertEqual({len(one.recipients) for one in sent}, {50})
        expected = sorted(one.data for one in sent)
        self.assertEqual(len(expected), 10)
        for recipient in sent[0].recipients:
            listed = self.api.list(recipient)
            self.assertEqual(sorted(self.api.source(recipient, item["id"])[1] for item in listed), expected)

    def test_megabytes_from_many_sessions_at_once(self):
        sent = self.recorded("-m", "20", "-s", "10", "-N", "-l", "1000000", "-t", "large@example.com")
        self.assertEqual(len(sent), 20)
        for one in sent:
            self.assertGreaterEqual(len(one.data), 1_000_000)
            self.assert_kept(one.recipients[0], one.data, SENDER)


if __name__ == "__main__":
    unittest.main()
