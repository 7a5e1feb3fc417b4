"""A stand-in for mailfly behind port 25: greets each peer with our user id and the peer's address.

usage: greeter.py PORT. Gives up root first, then listens on every IPv4 and IPv6 address.
"""

import os
import selectors
import socket
import sys

NOBODY = 65534


def main():
    port = int(sys.argv[1])
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    selector = selectors.DefaultSelector()
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        # create_server makes the IPv6 socket IPv6-only, as the daemon's is.
        listener = socket.create_server((address, port), family=family)
        selector.register(listener, selectors.EVENT_READ)
    print(f"listening on {port}", flush=True)
    while True:
        for key, _ in selector.select():
            connection, peer = key.fileobj.accept()
            with connection:
                connection.sendall(f"220 {os.geteuid()} {peer[0]}\r\n".encode())


main()
