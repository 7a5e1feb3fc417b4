"""The API in the shapes that Inbucket's REST v1 clients decode: their calls, their fields, their types."""

import datetime
import json
import smtplib
import time
import unittest

from mailfly import SECONDS_MAX, DaemonCase

# The fields that Inbucket's published clients decode, with the JSON types that they demand.
LISTED = {"mailbox": str, "id": str, "from": str, "to": list, "subject": str, "date": str,
          "posix-millis": int, "size": int, "seen": bool}
MESSAGE = {**LISTED, "body": dict, "header": dict, "attachments": list}
MIME = (b"From: Ann Sender <ann@example.com>\r\nTo: Bob <%s>, carol@example.com\r\nSubject: shapes\r\n"
        b"X-Twice: one\r\nX-Twice: two\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=cut\r\n\r\n"
        b"--cut\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        b"--cut\r\nContent-Type: text/x-notes; name=notes.txt\r\n"
        b"Content-Disposition: attachment; filename=notes.txt\r\n\r\nnotes\r\n--cut--\r\n")


class InbucketShapes(DaemonCase):
    """One message sent, then read and deleted as an Inbucket client would."""

    def send(self, recipient):
        data = MIME % recipient.encode()
        with smtplib.SMTP(*self.daemon.smtp[0], timeout=SECONDS_MAX) as client:
            client.sendmail("ann@example.com", [recipient], data)
        return data

    def assert_fields(self, value, fields):
        for name, kind in fields.items():
            self.assertIn(name, value)
            self.assertIs(type(value[name]), kind, f"{name}: {value[name]!r}")

    def assert_date(self, listed):
        """An RFC 3339 date, which Go's time.Time insists on, that agrees with posix-millis and the clock."""
        date = datetime.datetime.fromisoformat(listed["date"].replace("Z", "+00:00"))
        self.assertIsNotNone(date.tzinfo)
        self.assertEqual(int(date.timestamp()), listed["posix-millis"] // 1000)
        self.assertLess(abs(date.timestamp() - time.time()), 24 * 3600)

    def test_the_list_has_no_bodies(self):
        self.send("listed@example.com")
        kind, body = self.api.read("listed@example.com")
        self.assertEqual(kind, "application/json")
        (listed,) = json.loads(body)
        self.assert_fields(listed, LISTED)
        self.assert_date(listed)
        self.assertNotIn("body", listed)
        self.assertEqual(listed["subject"], "shapes")
        self.assertIn("ann@example.com", listed["from"])
        self.assertTrue(all(type(one) is str for one in listed["to"]))
        self.assertFalse(listed["seen"])

    def test_the_message_has_body_header_and_attachments(self):
        self.send("read@example.com")
        listed = self.only_message("read@example.com")
        message = self.api.message("read@example.com", listed["id"])
        self.assert_fields(message, MESSAGE)
        self.assert_date(message)
        self.assertEqual({name: message[name] for name in LISTED if name != "seen"},
                         {name: listed[name] for name in LISTED if name != "seen"})
        self.assert_fields(message["body"], {"text": str, "html": str})
        self.assertEqual(message["body"]["text"].strip(), "hello")
        self.assertEqual(message["header"]["Subject"], ["shapes"])
        self.assertEqual(message["header"]["X-Twice"], ["one", "two"])
        (attachment,) = message["attachments"]
        self.assert_fields(attachment, {"filename": str, "content-type": str})
        self.assertEqual((attachment["filename"], attachment["content-type"]), ("notes.txt", "text/x-notes"))

    def test_latest_is_the_newest(self):
        self.send("latest@example.com")
        data = self.send("latest@example.com")
        newest = max(self.api.list("latest@example.com"), key=lambda item: item["posix-millis"])
        message = self.api.message("latest@example.com", "latest")
        self.assertEqual(message["posix-millis"], newest["posix-millis"])
        self.assertEqual(self.api.source("latest@example.com", "latest")[1], data)

    def test_the_listed_mailbox_name_reads_the_same_mailbox(self):
        self.send("Mixed.Case@example.com")
        listed = self.only_message("Mixed.Case@example.com")
        self.assertEqual(self.api.list(listed["mailbox"]), [listed])

    def test_a_deleted_message_is_gone_and_the_others_stay(self):
        for _ in range(3):
            self.send("deleted@example.com")
        first, second, third = self.api.list("deleted@example.com")
        # Inbucket's Go client takes 200 and nothing else for a success.
        self.assertEqual(self.api.call("DELETE", "deleted@example.com", second["id"])[0], 200)
        self.assertEqual(self.api.list("deleted@example.com"), [first, third])
        for path in ((second["id"],), (second["id"], "source")):
            self.assertIn(self.api.call("GET", "deleted@example.com", *path)[0], (404, 410))

    def test_a_purged_mailbox_is_empty(self):
        self.send("purged@example.com")
        self.assertEqual(self.api.call("DELETE", "purged@example.com")[0], 200)
        self.assertEqual(self.api.list("purged@example.com"), [])

    def test_an_unknown_mailbox_is_an_empty_list_and_an_unknown_message_is_not_found(self):
        self.assertEqual(self.api.list("nobody@example.com"), [])
        self.assertEqual(self.api.call("GET", "nobody@example.com", "latest")[0], 404)
        self.assertEqual(self.api.call("GET", "nobody@example.com", "no-such-id")[0], 404)
        self.assertEqual(self.api.list("nobody@example.com"), [])


if __name__ == "__main__":
    unittest.main()
