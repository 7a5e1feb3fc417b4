"""Encrypted mail and reading, with Python's ssl (OpenSSL) on the other side: STARTTLS, TLS from the first
byte, HTTPS; what is injected, cut off, stalled, and one too many; a certificate that is read again.
"""

import http.client
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from mailfly import HOSTNAME, SECONDS_MAX, Api, Daemon, DaemonCase

SENDER = "sender@example.com"
MESSAGE = b"From: <sender@example.com>\r\nSubject: sealed\r\n\r\nHello.\r\n"


def trusting(version=None):
    """A context that takes any certificate, and speaks this version only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class Plain:
    """An SMTP client that sends what it is told, a line of reply at a time."""

    def __init__(self, address, first=b""):
        self.socket = socket.create_connection(address, timeout=SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if first:
            self.socket.sendall(first)
        self.rest = b""

    def close(self):
        """Hangs up."""
        self.socket.close()

    def send(self, octets):
        """Sends these bytes."""
        self.socket.sendall(octets)

    def reply(self):
        """The last line of the next reply; what there was if the server closes."""
        while True:
            line, end, rest = self.rest.partition(b"\r\n")
            if end:
                self.rest = rest
                if line[3:4] != b"-":
                    return line
                continue
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                line, self.rest = self.rest, b""
                return line
            self.rest += more

    def ask(self, *lines):
        """Sends each line, and returns the last reply."""
        for line in lines:
            self.send(line + b"\r\n")
            reply = self.reply()
        return reply

    def starttls(self, context=None):
        """Has the connection encrypted."""
        assert self.ask(b"EHLO client.example.com") and self.ask(b"STARTTLS").startswith(b"220")
        self.socket = (context or trusting()).wrap_socket(self.socket, server_hostname=HOSTNAME)

    def ends(self):
        """Reads up to the end, which has to come; what there was before it."""
        octets = self.rest
        try:
            while more := self.socket.recv(65536):
                octets += more
        except (ConnectionResetError, ssl.SSLError):
            pass
        return octets


class TlsCase(DaemonCase):
    """Tests that share one daemon, with every door open."""

    FLAGS = (*DaemonCase.FLAGS, "--smtps", "127.0.0.1:0", "--https", "127.0.0.1:0")

    def client(self, address=None, first=b""):
        client = Plain(address or self.daemon.smtp[0], first)
        self.addCleanup(client.close)
        return client

    def greeted(self, **how):
        client = self.client(**how)
        self.assertTrue(client.reply().startswith(b"220"))
        return client

    def metric(self, name):
        """The value of a metric, labels and all."""
        connection = http.client.HTTPConnection(*self.daemon.http, timeout=SECONDS_MAX)
        self.addCleanup(connection.close)
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith(name + " "):
                return int(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no {name}")

    def assert_soon(self, wanted, look):
        """The other side of a connection learns of its end a little later."""
        deadline = time.monotonic() + SECONDS_MAX
        while look() != wanted:
            self.assertLess(time.monotonic(), deadline, f"{look()!r} is still not {wanted!r}")
            time.sleep(0.01)

    def assert_nothing_kept(self, name):
        self.assert_soon(0, lambda: self.metric('mailfly_connections_open{service="tls"}'))
        self.assertEqual(self.api.call("GET", name)[2], b"[]")


class Starttls(TlsCase):
    """STARTTLS as it is meant, and as it is not."""

    def test_mail_through_either_version_says_so(self):
        for number, version in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
            name = f"version{number}"
            with smtplib.SMTP(*self.daemon.smtp[0], timeout=SECONDS_MAX) as client:
                client.ehlo("client.example.com")
                self.assertTrue(client.has_extn("starttls"))
                client.starttls(context=trusting(version))
                client.ehlo("client.example.com")
                self.assertFalse(client.has_extn("starttls"))
                client.sendmail(SENDER, [f"{name}@example.com"], MESSAGE)
            listed = self.assert_kept(name, MESSAGE, SENDER)
            trace, _ = self.api.source(name, listed["id"])
            self.assertIn(b" with ESMTPS id ", trace["received"])

    def test_a_long_message_is_kept_byte_for_byte(self):
        message = MESSAGE + b"".join(b"%07d %s\r\n" % (line, b"x" * 60) for line in range(25_000))
        with smtplib.SMTP(*self.daemon.smtp[0], timeout=SECONDS_MAX) as client:
            client.starttls(context=trusting())
            client.sendmail(SENDER, ["long@example.com"], message)
        self.assert_kept("long", message, SENDER)

    def test_a_certificate_is_made_for_the_hostname(self):
        client = self.greeted()
        client.starttls()
        certificate = ssl.DER_cert_to_PEM_cert(client.socket.getpeercert(binary_form=True))
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(certificate)
            file.flush()
            strict = ssl.create_default_context(cafile=file.name)
            other = self.greeted()
            other.starttls(strict)

    def test_a_second_starttls_is_a_fault(self):
        client = self.greeted()
        client.starttls()
        self.assertEqual(client.ask(b"EHLO client.example.com", b"STARTTLS"), b"550 No such user")
        self.assertEqual(client.ends(), b"")

    def test_what_was_said_before_does_not_count(self):
        client = self.greeted()
        client.starttls()
        self.assertEqual(client.ask(b"MAIL FROM:<a@example.com>"), b"550 No such user")

    def test_cve_2011_0411_injected_commands_are_never_obeyed(self):
        injected = (b"EHLO mallory.example.com\r\nMAIL FROM:<m@example.com>\r\nRCPT TO:<injected@example.com>\r\n"
                    b"DATA\r\nSubject: injected\r\n\r\n.\r\n")
        client = self.greeted()
        client.ask(b"EHLO client.example.com")
        client.send(b"STARTTLS\r\n" + injected)
        self.assertEqual(client.ends(), b"550 No such user\r\n")
        # The same after the reply: no TLS, and so the end, after an alert.
        client = self.greeted()
        client.ask(b"EHLO client.example.com", b"STARTTLS")
        client.send(injected)
        self.assertEqual(client.ends()[:1], b"\x15")
        self.assert_nothing_kept("injected")

    def test_cut_at_every_byte_it_is_the_same(self):
        client = self.greeted()
        client.ask(b"EHLO client.example.com", b"STARTTLS")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting().wrap_bio(incoming, outgoing, server_hostname=HOSTNAME)

        def trickle():
            for octet in outgoing.read():
                client.send(bytes([octet]))

        def done(call, *arguments):
            while True:
                try:
                    return call(*arguments)
                except ssl.SSLWantReadError:
                    trickle()
                    incoming.write(client.socket.recv(65536))

        done(tls.do_handshake)
        for line in (b"EHLO client.example.com", b"MAIL FROM:<a@example.com>", b"RCPT TO:<cut@example.com>", b"DATA",
                     MESSAGE + b"."):
            tls.write(line + b"\r\n")
            trickle()
            self.assertIn(done(tls.read, 65536)[:1], b"23")
        self.assert_kept("cut", MESSAGE, "a@example.com")

    def test_cve_2026_45185_a_goodbye_within_a_message_keeps_nothing_of_it(self):
        envelope = (b"EHLO client.example.com", b"MAIL FROM:<a@example.com>", b"RCPT TO:<goodbye@example.com>")
        for begin in (b"BDAT 1000 LAST", b"BDAT 200 LAST\r\nhalf of", b"DATA"):
            client = self.greeted()
            client.starttls()
            client.ask(*envelope)
            client.send(begin + b"\r\nhalf a message\r\n")
            if begin == b"DATA":
                self.assertTrue(client.reply().startswith(b"354"))
            raw = client.socket.unwrap()
            # What comes in the clear behind the goodbye is nobody's.
            try:
                raw.sendall(b"x" * 2000 + b"\r\n.\r\n")
            except OSError:
                pass
            raw.close()
        self.assert_nothing_kept("goodbye")

    def test_a_connection_that_is_cut_within_a_message_keeps_nothing_of_it(self):
        client = self.greeted()
        client.starttls()
        client.ask(b"EHLO client.example.com", b"MAIL FROM:<a@example.com>", b"RCPT TO:<truncated@example.com>", b"DATA")
        client.send(b"half a message\r\n")
        # Without a goodbye of TLS.
        os.close(client.socket.detach())
        self.assert_nothing_kept("truncated")

    def test_a_message_that_ends_with_the_goodbye_is_kept(self):
        client = self.greeted()
        client.starttls()
        client.ask(b"EHLO client.example.com", b"MAIL FROM:<a@example.com>", b"RCPT TO:<whole@example.com>")
        client.send(b"BDAT %d LAST\r\n%s" % (len(MESSAGE), MESSAGE))
        self.assertTrue(client.reply().startswith(b"250"))
        client.socket.unwrap().close()
        self.assert_kept("whole", MESSAGE, "a@example.com")


class FromTheFirstByte(TlsCase):
    """--smtps and --https."""

    def test_smtps_takes_mail(self):
        with smtplib.SMTP_SSL(*self.daemon.smtps, context=trusting(), timeout=SECONDS_MAX) as client:
            client.ehlo("client.example.com")
            self.assertFalse(client.has_extn("starttls"))
            client.sendmail(SENDER, ["smtps@example.com"], MESSAGE)
        listed = self.assert_kept("smtps", MESSAGE, SENDER)
        self.assertIn(b" with ESMTPS id ", self.api.source("smtps", listed["id"])[0]["received"])

    def test_https_shows_mail_also_to_a_slow_reader(self):
        message = MESSAGE + b"".join(b"%07d %s\r\n" % (line, b"x" * 60) for line in range(25_000))
        with smtplib.SMTP(*self.daemon.smtp[0], timeout=SECONDS_MAX) as client:
            client.sendmail(SENDER, ["reader@example.com"], message)
        listed = self.only_message("reader")
        connection = http.client.HTTPSConnection(*self.daemon.https, context=trusting(), timeout=SECONDS_MAX)
        self.addCleanup(connection.close)
        for pieces in (1 << 20, 1000):
            connection.request("GET", f"/api/v1/mailbox/reader/{listed['id']}/source")
            response = connection.getresponse()
            body = b"".join(iter(lambda: response.read(pieces), b""))
            self.assertTrue(body.endswith(message), pieces)
        connection.request("GET", "/livez")
        self.assertEqual(connection.getresponse().read(), b"alive\n")

    def test_what_is_no_tls_is_told_so_and_nothing_else(self):
        for address in (self.daemon.smtps, self.daemon.https):
            client = self.client(address, b"EHLO client.example.com\r\n")
            octets = client.ends()
            self.assertEqual((octets[:1], len(octets)), (b"\x15", 7))

    def test_whoever_stalls_in_a_handshake_is_closed_and_its_place_freed(self):
        clients = [self.client(self.daemon.smtps, b"\x16\x03\x01"), self.client(self.daemon.https)]
        clients.append(self.greeted())
        clients[-1].ask(b"EHLO client.example.com", b"STARTTLS")
        before = time.monotonic()
        for client in clients:
            self.assertEqual(client.ends(), b"")
        self.assertGreater(time.monotonic() - before, 5)
        # Which is held against those who bring mail, as everything is that is never finished.
        self.assertEqual(self.metric("mailfly_smtp_timeouts_total"), 2)
        self.assert_soon(0, lambda: self.metric('mailfly_connections_open{service="tls"}'))


class OneTooMany(TlsCase):
    """More than may be encrypted."""

    FLAGS = (*TlsCase.FLAGS, "--tls-connections", "2")

    def test_the_third_goes_on_in_the_clear_until_there_is_room(self):
        clients = [self.greeted(), self.greeted()]
        for client in clients:
            client.starttls()
        third = self.greeted()
        refused = b"454 4.7.0 TLS not available now, try again later"
        self.assertEqual(third.ask(b"EHLO client.example.com", b"STARTTLS"), refused)
        self.assertEqual(self.client(self.daemon.smtps).ends(), b"")
        self.assertEqual(self.client(self.daemon.https).ends(), b"")
        self.assertEqual(self.metric('mailfly_connections_refused_total{service="tls"}'), 3)
        third.ask(b"MAIL FROM:<a@example.com>", b"RCPT TO:<clear@example.com>", b"DATA")
        self.assertTrue(third.ask(MESSAGE + b".").startswith(b"250"))
        clients[0].ask(b"EHLO client.example.com", b"QUIT")
        self.assertEqual(clients[0].ends(), b"")
        self.assert_soon(b"220 2.0.0 Ready to start TLS", lambda: third.ask(b"STARTTLS"))

    def test_without_any_it_is_not_offered(self):
        daemon = Daemon("--tls-connections", "0")
        self.addCleanup(daemon.stop)
        with smtplib.SMTP(*daemon.smtp[0], timeout=SECONDS_MAX) as client:
            client.ehlo()
            self.assertFalse(client.has_extn("starttls"))


class HeldBack(TlsCase):
    """Replies that the guard holds back are sealed all the same."""

    FLAGS = (*TlsCase.FLAGS, "--trust", "none", "--guard-messages", "1/1h ban none tarpit")

    def test_a_reply_that_comes_late_is_understood(self):
        with smtplib.SMTP(*self.daemon.smtp[0], timeout=SECONDS_MAX) as client:
            client.starttls(context=trusting())
            for number in range(2):
                client.sendmail(SENDER, [f"held{number}@example.com"], MESSAGE)
        self.assertGreater(self.metric("mailfly_smtp_replies_held_total"), 0)
        for number in range(2):
            self.assert_kept(f"held{number}", MESSAGE, SENDER)


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
class Certificates(unittest.TestCase):
    """--tls-certificate and --tls-key, and SIGHUP."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.certificate, self.key = (os.path.join(folder.name, name) for name in ("chain.pem", "key.pem"))
        self.make("first")
        self.daemon = Daemon("--tls-certificate", self.certificate, "--tls-key", self.key)
        self.addCleanup(self.daemon.stop)

    def make(self, name):
        """A pair of files for this name, in place of those that are there."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", f"/CN={name}.test", "-addext", f"subjectAltName=DNS:{name}.test",
             "-out", self.certificate, "-keyout", self.key],
            check=True, capture_output=True)

    def shown(self):
        """The certificate that a client sees."""
        client = Plain(self.daemon.smtp[0])
        self.addCleanup(client.close)
        client.reply()
        client.starttls()
        return client, ssl.DER_cert_to_PEM_cert(client.socket.getpeercert(binary_form=True))

    def on_disk(self):
        """The certificate in the file."""
        with open(self.certificate, encoding="ascii") as file:
            return file.read()

    def reload(self, told):
        """Has the files read again, and waits until the daemon says so."""
        before = self.daemon.errors().count(told)
        self.daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + SECONDS_MAX
        while self.daemon.errors().count(told) == before:
            self.assertLess(time.monotonic(), deadline, self.daemon.errors())
            time.sleep(0.01)

    def test_a_new_pair_is_for_new_connections(self):
        first, shown = self.shown()
        self.assertEqual(shown, self.on_disk())
        self.make("second")
        self.assertNotEqual(self.shown()[1], self.on_disk())
        self.reload("the certificate was read again")
        self.assertEqual(self.shown()[1], self.on_disk())
        self.assertEqual(first.ask(b"EHLO client.example.com")[:3], b"250")

    def test_a_bad_pair_changes_nothing(self):
        good = self.on_disk()
        with open(self.key, "w", encoding="ascii") as file:
            file.write("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        self.reload("the certificate stays as it was: ")
        self.assertEqual(self.shown()[1], good)
        os.remove(self.certificate)
        self.reload("the certificate stays as it was: ")
        self.assertEqual(self.shown()[1], good)

    def test_without_a_pair_that_can_be_used_it_does_not_start(self):
        for flags in (["--tls-key", self.key], ["--tls-certificate", self.certificate],
                      ["--tls-certificate", self.key, "--tls-key", self.key],
                      ["--tls-certificate", "/dev/zero", "--tls-key", self.key]):
            with self.assertRaises(RuntimeError) as caught:
                Daemon(*flags)
            self.assertRegex(str(caught.exception), "belongs to|no certificates|no private key|longer than")


class Proxied(TlsCase):
    """--proxy-from: whose connection it is, in the words of who brings it."""

    FLAGS = (*TlsCase.FLAGS, "--proxy-from", "127.0.0.1")
    LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
    BINARY = (b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
              + bytes(16) + b"\x9c\x40\0\x19")

    def setUp(self):
        # The API is asked from here too, and has to say who it is.
        self.api.connection.close()
        api = Api(self.daemon.http)
        self.addCleanup(api.close)
        api.connection.connect()
        api.connection.sock.sendall(b"PROXY UNKNOWN\r\n")
        self.api = api

    def metric(self, name):
        client = self.client(self.daemon.http, b"PROXY UNKNOWN\r\nGET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        lines = client.ends().decode().splitlines()
        return next(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))

    def deliver(self, client, name):
        client.ask(b"EHLO client.example.com", b"MAIL FROM:<a@example.com>", b"RCPT TO:<%s@example.com>" % name.encode(),
                   b"DATA")
        self.assertTrue(client.ask(MESSAGE + b".").startswith(b"250"))
        listed = self.assert_kept(name, MESSAGE, "a@example.com")
        return self.api.source(name, listed["id"])[0]["received"]

    def test_its_source_is_who_the_header_says(self):
        for name, header, source in (("line", self.LINE, b"[192.0.2.7]"),
                                     ("binary", self.BINARY, b"[IPv6:2001:db8::7]"),
                                     ("unknown", b"PROXY UNKNOWN\r\n", b"[127.0.0.1]")):
            client = self.greeted(first=header)
            self.assertIn(source, self.deliver(client, name))

    def test_commands_may_come_right_behind_it(self):
        client = self.greeted(first=self.LINE + b"EHLO client.example.com\r\n")
        self.assertTrue(client.reply().startswith(b"250"))

    def test_a_handshake_may_come_right_behind_it(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting().wrap_bio(incoming, outgoing, server_hostname=HOSTNAME)
        self.assertRaises(ssl.SSLWantReadError, tls.do_handshake)
        client = self.client(self.daemon.smtps, self.BINARY + outgoing.read())
        while True:
            incoming.write(client.socket.recv(65536))
            try:
                tls.do_handshake()
                client.send(outgoing.read())
                incoming.write(client.socket.recv(65536))
                break
            except ssl.SSLWantReadError:
                continue
        self.assertTrue(tls.read(65536).startswith(b"220"))

    def test_who_says_nothing_of_it_is_closed(self):
        before = self.metric("mailfly_proxy_headers_refused_total")
        for wrong in (b"EHLO client.example.com\r\n", self.LINE.replace(b"TCP4", b"TCP6"), self.LINE.lower(),
                      b"PROXY " + b"x" * 200, self.BINARY.replace(b"\x21\x21", b"\x31\x21")):
            self.assertEqual(self.client(first=wrong).ends(), b"")
        self.assertEqual(self.metric("mailfly_proxy_headers_refused_total"), before + 5)

    def test_who_says_nothing_at_all_is_closed(self):
        self.assertEqual(self.client(first=self.LINE[:-1]).ends(), b"")

    def test_others_are_not_believed(self):
        client = Plain.__new__(Plain)
        client.rest = b""
        client.socket = socket.create_connection(self.daemon.smtp[0], SECONDS_MAX, ("127.0.0.2", 0))
        self.addCleanup(client.close)
        self.assertTrue(client.reply().startswith(b"220"))
        self.assertEqual(client.ask(self.LINE.rstrip()), b"550 No such user")


if __name__ == "__main__":
    unittest.main()
