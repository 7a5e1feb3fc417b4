"""swaks against the running daemon: what it put on the wire is what the API returns."""

import base64
import os
import subprocess
import tempfile
import unittest

from mailfly import SECONDS_MAX, DaemonCase, program
from wire import Recorder

SENDER = "sender@example.com"
SWAKS = program("swaks")


@unittest.skipUnless(SWAKS, "swaks is missing (Debian: apt-get install swaks)")
class Swaks(DaemonCase):
    """One run of swaks a test, through a recorder."""

    def swaks(self, *flags, sender=SENDER):
        """Runs swaks, which must succeed, and returns the messages that it sent."""
        with Recorder(self.daemon.smtp[0]) as recorder:
            run = subprocess.run(
                [SWAKS, "--server", "127.0.0.1", "--port", str(recorder.port), "--helo", "swaks.example.com",
                 "--from", sender, *flags],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            return recorder.sent()

    def assert_sent_and_kept(self, sent, *recipients, reverse_path=SENDER):
        """One message was sent, to these, and each of them has it; returns its bytes."""
        self.assertEqual([(one.reverse_path, one.recipients) for one in sent], [(reverse_path, list(recipients))])
        for recipient in recipients:
            self.assert_kept(recipient, sent[0].data, reverse_path)
        return sent[0].data

    def file(self, content):
        """The name of a file with this content, for as long as the test runs."""
        with tempfile.NamedTemporaryFile(delete=False, suffix=".txt") as file:
            file.write(content)
        self.addCleanup(os.unlink, file.name)
        return file.name

    def test_its_own_test_message(self):
        data = self.assert_sent_and_kept(self.swaks("--to", "own@example.com"), "own@example.com")
        self.assertIn(b"X-Mailer: swaks", data)

    def test_plain_smtp_and_esmtp(self):
        for protocol in ("SMTP", "ESMTP"):
            with self.subTest(protocol):
                recipient = f"protocol-{protocol.lower()}@example.com"
                self.assert_sent_and_kept(self.swaks("--protocol", protocol, "--to", recipient), recipient)

    def test_pipelined(self):
        recipients = [f"pipelined{number}@example.com" for number in range(10)]
        self.assert_sent_and_kept(self.swaks("--pipeline", "--to", ",".join(recipients)), *recipients)

    def test_dots_and_eight_bits_from_a_file(self):
        content = "Subject: a file\n\n.\n..\n.dot\nZażółć gęślą jaźń\n\n.\nend\n".encode()
        sent = self.swaks("--to", "file@example.com", "--data", "@" + self.file(content))
        data = self.assert_sent_and_kept(sent, "file@example.com")
        self.assertTrue(data.startswith(content.replace(b"\n", b"\r\n")), data)

    def test_an_attachment(self):
        content = bytes(range(256)) * 64
        sent = self.swaks("--to", "attached@example.com", "--body", "see the attachment",
                          "--attach-type", "application/octet-stream", "--attach-name", "all octets.bin",
                          "--attach", "@" + self.file(content))
        data = self.assert_sent_and_kept(sent, "attached@example.com")
        self.assertIn(base64.b64encode(content)[:76], data)
        listed = self.only_message("attached@example.com")
        message = self.api.message("attached@example.com", listed["id"])
        self.assertEqual(message["body"]["text"].strip(), "see the attachment")
        self.assertEqual([part["filename"] for part in message["attachments"]], ["all octets.bin"])

    def test_the_null_sender(self):
        sent = self.swaks("--to", "bounce@example.com", sender="<>")
        self.assert_sent_and_kept(sent, "bounce@example.com", reverse_path="")

    def test_a_quoted_local_part(self):
        recipient = '"john q. public"@example.com'
        self.assert_sent_and_kept(self.swaks("--to", recipient), recipient)

    def test_an_address_literal(self):
        self.assert_sent_and_kept(self.swaks("--to", "literal@[127.0.0.1]"), "literal@[127.0.0.1]")

    def test_a_client_that_goes_without_quit(self):
        # It drops the connection after the last reply, so the message stays.
        sent = self.swaks("--to", "dropped@example.com", "--drop-after", "DOT")
        self.assert_sent_and_kept(sent, "dropped@example.com")

    def test_a_client_that_goes_before_the_end_leaves_nothing(self):
        self.swaks("--to", "half@example.com", "--drop-after", "RCPT")
        self.assertEqual(self.api.list("half@example.com"), [])


if __name__ == "__main__":
    unittest.main()
