"""scripts/port25, tried in two network namespaces that this test makes and removes.

    client namespace                         server namespace
    192.0.2.2, 2001:db8::2  --- veth0 ---    192.0.2.1, 2001:db8::1
    connects to port 25                      scripts/port25, an unprivileged listener on port 1025

The machine's own rules are never touched: every nft runs inside the server's namespace.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENTS = os.path.join(TOP, "tests", "clients")
sys.path.insert(0, CLIENTS)
from mailfly import SECONDS_MAX, Daemon, binary, program  # noqa: E402 (its folder is known only now)

SCRIPT = os.path.join(TOP, "scripts", "port25")
GREETER = os.path.join(TOP, "scripts", "tests", "greeter.py")
SERVER, CLIENT = f"mailfly-s{os.getpid()}", f"mailfly-c{os.getpid()}"
# Debian keeps ip and nft where not every PATH looks.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 25), timeout=%d) as peer:
        print(peer.makefile().readline().strip())
except OSError as error:
    print(type(error).__name__ if isinstance(error, (ConnectionRefusedError, TimeoutError)) else error.strerror)
""" % SECONDS_MAX

SEND = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25, timeout=%d) as client:
    client.sendmail("a@example.com", [sys.argv[2]], b"Subject: through port 25\\r\\n\\r\\nhello\\r\\n")
""" % SECONDS_MAX

READ = """
import sys
from mailfly import Api
api = Api((sys.argv[1], int(sys.argv[2])))
(listed,) = api.list(sys.argv[3])
sys.stdout.buffer.write(api.source(sys.argv[3], listed["id"])[0]["received"])
"""


def run(*command, stdin=None, check=True):
    """Runs a command to its end; a failure carries what it wrote."""
    done = subprocess.run(command, input=stdin if stdin is not None else "", capture_output=True, text=True,
                          timeout=2 * SECONDS_MAX, check=False, cwd=TOP)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def inside(namespace, *command, **options):
    """Runs a command inside a namespace."""
    return run("ip", "netns", "exec", namespace, *command, **options)


def python(namespace, text, *arguments):
    """The output of a Python program inside a namespace."""
    return inside(namespace, sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {CLIENTS!r})\n{text}",
                  *map(str, arguments)).stdout


class Usage(unittest.TestCase):
    """What needs neither root nor nft."""

    def test_bad_usage_is_exit_code_2_and_a_pointer_to_the_help(self):
        for words in ((), ("up",), ("on", "off"), ("on", "--to"), ("on", "--to", "0"), ("on", "--to", "25"),
                      ("on", "--to", "65536"), ("on", "--to", "1025; flush ruleset"), ("on", "--interface", ""),
                      ("on", "--interface", 'x" drop'), ("off", "--local"), ("show", "--to", "1")):
            with self.subTest(words):
                done = run(SCRIPT, *words, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("--help", done.stderr)

    def test_help_says_what_the_daemon_must_listen_on(self):
        self.assertIn("--smtp 0.0.0.0:1025 --smtp '[::]:1025'", run(SCRIPT, "--help").stdout)

    def test_a_dry_run_prints_the_rules(self):
        rules = run(SCRIPT, "on", "--dry-run", "--to", "2525", "--interface", "eth0").stdout
        self.assertIn('iifname "eth0" fib daddr type local tcp dport 25 redirect to :2525', rules)
        self.assertNotIn("hook output", rules)
        self.assertIn("hook output", run(SCRIPT, "on", "--dry-run", "--local").stdout)

    @unittest.skipUnless(os.geteuid() == 0 and program("nft"), "only root with nft can become somebody who is not root")
    def test_not_root_is_a_clear_message_and_exit_code_1(self):
        with open(SCRIPT, encoding="utf-8") as file:
            text = file.read()
        for verb in ("on", "show", "off"):
            done = run(*AS_NOBODY, "sh", "-s", verb, stdin=text, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("only root", done.stderr)


def remove_namespaces():
    """Removes both namespaces and, with them, the link and the rules. Harmless when they are gone."""
    for namespace in (SERVER, CLIENT):
        subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False, timeout=SECONDS_MAX)


class Namespaces(unittest.TestCase):
    """The two namespaces, or a skip that says why there are none."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("network namespaces need root; run the tests as root")
        for name in ("ip", "nft", "setpriv"):
            if not program(name):
                raise unittest.SkipTest(f"{name} is missing (Debian: apt-get install iproute2 nftables util-linux)")
        # atexit as well: an interrupted run passes over unittest's own cleanups.
        atexit.register(remove_namespaces)
        cls.addClassCleanup(remove_namespaces)
        for namespace in (SERVER, CLIENT):
            made = run("ip", "netns", "add", namespace, check=False)
            if made.returncode != 0:
                raise unittest.SkipTest(f"no network namespace can be made here: {made.stderr.strip()}")
        usable = inside(SERVER, "nft", "list", "tables", check=False)
        if usable.returncode != 0:
            raise unittest.SkipTest(f"nft does not work in a namespace here: {usable.stderr.strip()}")
        run("ip", "link", "add", "veth0", "netns", SERVER, "type", "veth", "peer", "name", "veth0", "netns", CLIENT)
        for namespace, number in ((SERVER, 1), (CLIENT, 2)):
            for words in (f"addr add 192.0.2.{number}/24 dev veth0", f"addr add 2001:db8::{number}/64 dev veth0 nodad",
                          "link set lo up", "link set veth0 up"):
                run("ip", "-n", namespace, *words.split())

    def setUp(self):
        self.addCleanup(self.port25, "off")

    def port25(self, *words, check=True):
        return inside(SERVER, SCRIPT, *words, check=check)

    def rules(self):
        return inside(SERVER, "nft", "list", "ruleset").stdout

    def greeting(self, address, namespace=CLIENT):
        """What a client is greeted with on port 25, or the error that it met."""
        return python(namespace, CONNECT, address).strip()


class Redirect(Namespaces):
    """The rules, with a stand-in for the daemon that tells whom it sees."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        greeter = subprocess.Popen(["ip", "netns", "exec", SERVER, sys.executable, "-B", GREETER, "1025"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(greeter.stdout.close)
        cls.addClassCleanup(greeter.wait, SECONDS_MAX)
        cls.addClassCleanup(greeter.terminate)
        if "listening" not in greeter.stdout.readline():
            raise AssertionError("the stand-in did not start")

    def test_off_is_the_state_before_on(self):
        before = self.rules()
        self.assertEqual(self.greeting("192.0.2.1"), "ConnectionRefusedError")
        self.port25("on")
        self.port25("off")
        self.assertEqual(self.rules(), before)
        for address in ("192.0.2.1", "2001:db8::1"):
            self.assertEqual(self.greeting(address), "ConnectionRefusedError")
        self.assertIn("was not redirected", self.port25("off").stdout)

    def test_an_unprivileged_listener_sees_the_clients_own_address(self):
        self.port25("on")
        self.assertEqual(self.greeting("192.0.2.1"), "220 65534 192.0.2.2")
        self.assertEqual(self.greeting("2001:db8::1"), "220 65534 2001:db8::2")

    def test_show_shows_what_is_there(self):
        self.assertEqual(self.port25("show").stdout, "port 25 is not redirected\n")
        self.port25("on")
        shown = self.port25("show").stdout
        self.assertIn("table inet mailfly_port25", shown)
        self.assertIn("redirect to :1025", shown)

    def test_on_twice_is_one_set_of_rules(self):
        self.port25("on", "--local")
        once = self.rules()
        self.port25("on", "--local")
        self.assertEqual(self.rules(), once)
        self.assertEqual(once.count("redirect"), 2)
        self.port25("on", "--to", "1026")
        self.assertEqual(self.rules().count("redirect"), 1)
        self.assertIn("redirect to :1026", self.rules())

    def test_other_peoples_rules_stay(self):
        foreign = ("table inet foreign {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat + 10; policy accept;\n"
                   "\t\ttcp dport 26 redirect to :1025\n\t}\n}\n"
                   "table ip mailfly_port25 {\n\tchain mine {\n\t\ttcp dport 25 accept\n\t}\n}\n")
        inside(SERVER, "nft", "-f", "-", stdin=foreign)
        self.addCleanup(inside, SERVER, "nft", "-f", "-", stdin="delete table inet foreign\ndelete table ip mailfly_port25\n")
        before = self.rules()
        self.assertEqual(self.port25("show").stdout, "port 25 is not redirected\n")
        self.port25("on")
        self.assertTrue(self.rules().startswith(before.rstrip("\n")), self.rules())
        self.port25("off")
        self.port25("off")
        self.assertEqual(self.rules(), before)

    def test_only_the_named_interface(self):
        self.port25("on", "--interface", "lo")
        self.assertEqual(self.greeting("192.0.2.1"), "ConnectionRefusedError")
        self.port25("on", "--interface", "veth0")
        self.assertEqual(self.greeting("192.0.2.1"), "220 65534 192.0.2.2")
        refused = self.port25("on", "--interface", "veth9", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("no interface veth9", refused.stderr)

    def test_local_connections_only_when_asked_for(self):
        addresses = {"127.0.0.1": "127.0.0.1", "::1": "::1", "192.0.2.1": "192.0.2.1"}
        self.port25("on")
        for address in addresses:
            self.assertEqual(self.greeting(address, SERVER), "ConnectionRefusedError")
        self.port25("on", "--local")
        for address, peer in addresses.items():
            self.assertEqual(self.greeting(address, SERVER), f"220 65534 {peer}")

    def test_mail_that_only_passes_through_is_left_alone(self):
        # The server routes: it would hand this on, and has nowhere to. Redirected, it would be greeted.
        inside(SERVER, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        run("ip", "-n", SERVER, "route", "add", "prohibit", "198.51.100.0/24")
        run("ip", "-n", CLIENT, "route", "add", "198.51.100.0/24", "via", "192.0.2.1")
        self.port25("on", "--local")
        self.assertNotIn("220", self.greeting("198.51.100.1"))
        # Nor is mail that this host sends to others.
        self.assertNotIn("220", self.greeting("198.51.100.1", SERVER))
        self.assertEqual(self.greeting("192.0.2.2", SERVER), "ConnectionRefusedError")

    def test_nothing_listening_is_said(self):
        self.assertIn("nothing listens on port 1026", self.port25("on", "--to", "1026").stderr)
        self.assertEqual(self.port25("on").stderr, "")

    def test_a_dry_run_changes_nothing_and_nft_would_take_it(self):
        self.port25("on")
        before = self.rules()
        inside(SERVER, "nft", "-c", "-f", "-", stdin=self.port25("on", "--dry-run", "--local", "--to", "9").stdout)
        inside(SERVER, "nft", "-c", "-f", "-", stdin=self.port25("off", "--dry-run").stdout)
        self.assertEqual(self.rules(), before)


@unittest.skipUnless(binary(), "no mailfly binary: run `cargo build --release`, or set MAILFLY_BINARY")
class Mail(Namespaces):
    """Mail through the redirect to the real daemon, as an ordinary user."""

    def test_received_names_the_client(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        # Where the build lies, nobody may not look.
        os.chmod(folder, 0o755)
        path = shutil.copy(binary(), os.path.join(folder, "mailfly"))
        os.chmod(path, 0o755)
        daemon = Daemon("--memory", "32MiB", smtp=("0.0.0.0:1025", "[::]:1025"), path=path,
                        prefix=("ip", "netns", "exec", SERVER, *AS_NOBODY))
        self.addCleanup(lambda: daemon.process.poll() is None and daemon.stop())
        self.assertEqual(self.port25("on").stderr, "")
        for address, peer, mailbox in (("192.0.2.1", "192.0.2.2", "four@example.com"),
                                       ("2001:db8::1", "2001:db8::2", "six@example.com")):
            python(CLIENT, SEND, address, mailbox)
            self.assertIn(peer, python(SERVER, READ, *daemon.http, mailbox))
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
