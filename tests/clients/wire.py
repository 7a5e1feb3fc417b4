"""A recorder between a client and the daemon: what the client really sent, taken off the wire.

Clients make up dates, ids and MIME boundaries of their own, so only the wire knows what the daemon
was given. The bytes are passed on as they come; what they mean is worked out afterwards, by a reader
that shares nothing with mailfly's.
"""

import errno
import select
import socket
import threading
from typing import NamedTuple

from mailfly import SECONDS_MAX


class Sent(NamedTuple):
    """One message as the client sent it, its dots unstuffed."""

    reverse_path: str
    recipients: list
    data: bytes


class Recorder:
    """Listens on a loopback port of its own and passes every connection on to `upstream`."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.streams = []
        self.errors = []
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Wakes the accept, which close() alone would not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join(SECONDS_MAX)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            stream = bytearray()
            self.streams.append(stream)
            thread = threading.Thread(target=self._pass_on, args=(client, stream), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _pass_on(self, client, stream):
        try:
            with client, socket.create_connection(self.upstream, SECONDS_MAX) as server:
                for side in (client, server):
                    side.settimeout(SECONDS_MAX)
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                others = {client: server, server: client}
                while others:
                    ready, _, _ = select.select(list(others), [], [], SECONDS_MAX)
                    if not ready:
                        raise TimeoutError("a session stood still")
                    for side in ready:
                        piece = side.recv(65536)
                        other = others[side]
                        if piece:
                            if side is client:
                                stream += piece
                            other.sendall(piece)
                        else:
                            del others[side]
                            other.shutdown(socket.SHUT_WR)
                    if server not in others:
                        return
        except ConnectionError:
            pass  # Some clients reset the connection rather than wait for the reply to QUIT.
        except OSError as error:
            # A side that has reset its connection cannot be told that the other is done.
            if error.errno != errno.ENOTCONN:
                self.errors.append(error)

    def sent(self):
        """Every message of every session, once the sessions are over."""
        # The client has gone by now, so its connections are all accepted: closing in __exit__ loses none.
        for thread in list(self.threads):
            thread.join(SECONDS_MAX)
            if thread.is_alive():
                raise TimeoutError("a session did not end")
        if self.errors:
            raise AssertionError(f"the recorder met {self.errors}")
        return [message for stream in self.streams for message in transactions(bytes(stream))]


def transactions(stream):
    """The messages in what a client said, if the server took all of it."""
    messages, reverse_path, recipients, at = [], "", [], 0
    while at < len(stream):
        end = stream.index(b"\r\n", at)
        line, at = stream[at:end], end + 2
        verb = line.upper()
        if verb.startswith(b"MAIL FROM:"):
            reverse_path, recipients = path_of(line), []
        elif verb.startswith(b"RCPT TO:"):
            recipients.append(path_of(line))
        elif verb == b"DATA":
            # The CRLF before it counts, so that a message may be empty.
            end = stream.index(b"\r\n.\r\n", at - 2)
            lines = stream[at:end + 2].split(b"\r\n") if end >= at else [b""]
            data = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
            messages.append(Sent(reverse_path, recipients, data))
            at = end + 5
    return messages


def path_of(line):
    """The address between the brackets of a MAIL or RCPT command."""
    return line[line.index(b"<") + 1:line.rindex(b">")].decode()
