"""Python's smtplib against the running daemon: what it sends is what the API returns."""

import smtplib
import socket
import unittest
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from mailfly import SECONDS_MAX, Daemon, DaemonCase

SENDER = "sender@example.com"


def lines(*texts):
    """A message with this body under a small header, each line ended with CRLF."""
    return b"From: <sender@example.com>\r\nSubject: lines\r\n\r\n" + b"".join(text + b"\r\n" for text in texts)


class Smtplib(DaemonCase):
    """One message, or a few, in each of the ways smtplib can send."""

    def client(self):
        client = smtplib.SMTP(*self.daemon.smtp[0], local_hostname="client.example.com", timeout=SECONDS_MAX)
        self.addCleanup(client.close)
        return client

    def test_a_plain_message_is_kept_byte_for_byte(self):
        message = lines(b"Hello.", b"", b"Good bye.")
        client = self.client()
        self.assertEqual(client.sendmail(SENDER, ["plain@example.com"], message), {})
        client.quit()
        listed = self.assert_kept("plain@example.com", message, SENDER)
        self.assertEqual(listed["subject"], "lines")
        trace, _ = self.api.source("plain@example.com", listed["id"])
        self.assertIn(b"127.0.0.1", trace["received"])
        self.assertIn(b"client.example.com", trace["received"])
        self.assertIn(b"plain", trace["delivered_to"])

    def test_helo_without_extensions_delivers(self):
        client = self.client()
        self.assertEqual(client.helo()[0], 250)
        client.sendmail(SENDER, ["helo@example.com"], lines(b"old"))
        self.assert_kept("helo@example.com", lines(b"old"), SENDER)

    def test_ehlo_offers_what_is_promised(self):
        client = self.client()
        self.assertEqual(client.ehlo()[0], 250)
        for extension in ("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes", "chunking"):
            with self.subTest(extension):
                self.assertTrue(client.has_extn(extension))
        self.assertEqual(int(client.esmtp_features["size"]), 2 * 1024 * 1024)

    def test_every_octet_is_kept(self):
        octets = bytes(octet for octet in range(256) if octet not in b"\r\n")
        message = lines(octets, b"bare \r and bare \n are data", octets[::-1])
        client = self.client()
        client.sendmail(SENDER, ["octets@example.com"], message, mail_options=["BODY=8BITMIME"])
        self.assert_kept("octets@example.com", message, SENDER)

    def test_dots_at_line_starts_are_kept(self):
        message = lines(b".", b"..", b"...", b".a", b"a.", b"", b".", b"")
        self.client().sendmail(SENDER, ["dots@example.com"], message)
        self.assert_kept("dots@example.com", message, SENDER)

    def test_utf8_addresses_and_headers(self):
        sender, recipient = "отправитель@example.com", "dæmon-køb@example.com"
        message = EmailMessage(policy=SMTPUTF8)
        message["From"] = sender
        message["To"] = recipient
        message["Subject"] = "Grüße, 世界"
        message.set_content("Zażółć gęślą jaźń\n", cte="8bit")
        client = self.client()
        client.send_message(message)
        listed = self.assert_kept(recipient, message.as_bytes(), sender)
        self.assertEqual(listed["subject"], "Grüße, 世界")
        self.assertIn(recipient, "".join(listed["to"]))
        self.assertIn("jaźń", self.api.message(recipient, listed["id"])["body"]["text"])

    def test_encoded_words_are_listed_decoded(self):
        message = EmailMessage(policy=SMTP)
        message["From"] = SENDER
        message["To"] = "encoded@example.com"
        message["Subject"] = "Grüße, 世界"
        message.set_content("text\n")
        self.client().send_message(message)
        self.assertIn(b"=?utf-8?", message.as_bytes())
        self.assertEqual(self.assert_kept("encoded@example.com", message.as_bytes())["subject"], "Grüße, 世界")

    def test_each_recipient_gets_it_and_a_repeated_one_gets_it_once(self):
        recipients = [f"several{number}@example.com" for number in range(20)]
        self.assertEqual(self.client().sendmail(SENDER, recipients + recipients[:5], lines(b"to all")), {})
        for recipient in recipients:
            self.assert_kept(recipient, lines(b"to all"), SENDER)

    def test_a_hundred_recipients_are_taken(self):
        recipients = [f"hundred{number}@example.com" for number in range(100)]
        self.assertEqual(self.client().sendmail(SENDER, recipients, lines(b"to all")), {})
        for recipient in recipients:
            self.only_message(recipient)

    def test_the_null_reverse_path(self):
        self.client().sendmail("", ["bounce@example.com"], lines(b"undeliverable"))
        self.assert_kept("bounce@example.com", lines(b"undeliverable"), "")

    def test_a_megabyte(self):
        message = lines(*[b"%07d " % number + b"x" * 68 for number in range(13_443)])
        self.assertGreater(len(message), 1024 * 1024)
        self.client().sendmail(SENDER, ["megabyte@example.com"], message)
        self.assert_kept("megabyte@example.com", message, SENDER)

    def test_too_large_by_its_declared_size_is_552_at_mail(self):
        client = self.client()
        with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail(SENDER, ["declared@example.com"], lines(b"x" * 998) + b"y" * (2 * 1024 * 1024))
        self.assertEqual(refused.exception.smtp_code, 552)
        self.assertEqual(self.api.list("declared@example.com"), [])
        client.sendmail(SENDER, ["declared@example.com"], lines(b"the session goes on"))
        self.assert_kept("declared@example.com", lines(b"the session goes on"), SENDER)

    def test_too_large_without_a_declared_size_is_552_after_its_end(self):
        client = self.client()
        client.ehlo()
        del client.esmtp_features["size"]
        large = lines(*[b"x" * 998] * 2200)
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            client.sendmail(SENDER, ["undeclared@example.com"], large)
        self.assertEqual(refused.exception.smtp_code, 552)
        self.assertEqual(self.api.list("undeclared@example.com"), [])
        client.sendmail(SENDER, ["undeclared@example.com"], lines(b"the session goes on"))
        self.assert_kept("undeclared@example.com", lines(b"the session goes on"), SENDER)

    def test_many_messages_in_one_session_stay_apart(self):
        client = self.client()
        for number in range(50):
            client.sendmail(SENDER, ["many@example.com"], lines(b"number %d" % number, b"." * number))
        listed = self.api.list("many@example.com")
        self.assertEqual(len({item["id"] for item in listed}), 50)
        kept = {self.api.source("many@example.com", item["id"])[1] for item in listed}
        self.assertEqual(kept, {lines(b"number %d" % number, b"." * number) for number in range(50)})

    def test_the_reply_names_the_id_that_the_api_knows(self):
        client = self.client()
        client.ehlo()
        client.mail(SENDER)
        client.rcpt("reply@example.com")
        code, text = client.data(lines(b"which am I?"))
        self.assertEqual(code, 250)
        self.assertIn(self.only_message("reply@example.com")["id"].encode(), text)

    def test_rset_forgets_and_noop_does_nothing(self):
        client = self.client()
        client.ehlo()
        client.mail(SENDER)
        client.rcpt("forgotten@example.com")
        self.assertEqual(client.noop()[0], 250)
        self.assertEqual(client.rset()[0], 250)
        client.sendmail(SENDER, ["remembered@example.com"], lines(b"after"))
        self.assertEqual(client.quit()[0], 221)
        self.assertEqual(self.api.list("forgotten@example.com"), [])
        self.assert_kept("remembered@example.com", lines(b"after"), SENDER)

    def test_text_html_and_attachments_are_told_apart(self):
        message = EmailMessage(policy=SMTP)
        message["From"] = "Ann Sender <sender@example.com>"
        message["To"] = "mime@example.com"
        message["Subject"] = "mime"
        message.set_content("the text\n")
        message.add_alternative("<p>the html</p>\n", subtype="html")
        message.add_attachment(bytes(range(256)), maintype="application", subtype="octet-stream", filename="all.bin")
        for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
            part.set_boundary(f"boundary-{number}")
        self.client().send_message(message)
        listed = self.assert_kept("mime@example.com", message.as_bytes(), SENDER)
        read = self.api.message("mime@example.com", listed["id"])
        self.assertEqual(read["body"]["text"].strip(), "the text")
        self.assertEqual(read["body"]["html"].strip(), "<p>the html</p>")
        self.assertEqual([part["filename"] for part in read["attachments"]], ["all.bin"])

    def test_vrfy_under_the_curt_policy_ends_the_session(self):
        client = self.client()
        client.ehlo()
        self.assertEqual(client.verify("someone"), (550, b"No such user"))
        with self.assertRaises(smtplib.SMTPServerDisconnected):
            client.noop()


class Policy(DaemonCase):
    """What changes with --policy rfc."""

    FLAGS = (*DaemonCase.FLAGS, "--policy", "rfc")

    def test_vrfy_under_the_rfc_policy_answers_and_goes_on(self):
        with smtplib.SMTP(*self.daemon.smtp[0], timeout=SECONDS_MAX) as client:
            client.ehlo()
            self.assertEqual(client.verify("someone")[0], 252)
            client.sendmail(SENDER, ["after@example.com"], lines(b"after"))
        self.assert_kept("after@example.com", lines(b"after"), SENDER)


def has_ipv6_loopback():
    """Whether this machine has ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Listeners(unittest.TestCase):
    """The daemon's sockets, seen from outside."""

    def start(self, *addresses):
        daemon = Daemon(*DaemonCase.FLAGS, smtp=addresses)
        self.addCleanup(lambda: daemon.process.poll() is None and daemon.stop())
        return daemon

    @unittest.skipUnless(has_ipv6_loopback(), "this machine has no IPv6 loopback address")
    def test_two_listeners_of_both_families_take_mail(self):
        daemon = self.start("127.0.0.1:0", "[::1]:0")
        for address in daemon.smtp:
            with smtplib.SMTP(*address, timeout=SECONDS_MAX) as client:
                client.sendmail(SENDER, ["family@example.com"], lines(b"hello"))
        self.assertEqual({host for host, _ in daemon.smtp}, {"127.0.0.1", "::1"})
        self.assertEqual(daemon.stop(), 0)

    def test_sigterm_says_421_to_the_idle_and_exits_0(self):
        daemon = self.start("127.0.0.1:0")
        client = smtplib.SMTP(*daemon.smtp[0], timeout=SECONDS_MAX)
        self.addCleanup(client.close)
        client.ehlo()
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(client.getreply()[0], 421)


if __name__ == "__main__":
    unittest.main()
