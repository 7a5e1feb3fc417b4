"""scripts/hostile with few attackers for a short time, and scripts/soak with a short run: no mail is lost and the
server is there afterwards. What depends on how fast the machine is, is not looked at."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "clients"))
from mailfly import SECONDS_MAX, binary  # noqa: E402 (its folder is known only now)

FOLDER = os.path.dirname(binary() or "")
BUILT = FOLDER and os.path.exists(os.path.join(FOLDER, "loadgen"))
ATTACKS = ("nobody", "slow-writers", "never-readers", "http-never-readers", "readers", "resets", "tls-stalls",
           "handshakes", "storm", "full", "descriptors", "all")


def script(name, *flags):
    """Runs one to its end."""
    return subprocess.run([os.path.join(TOP, "scripts", name), *flags], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=2 * SECONDS_MAX, check=False)


class Usage(unittest.TestCase):
    """What they say before they do anything."""

    def test_help_names_every_attack(self):
        said = script("hostile", "--help").stdout
        for attack in ATTACKS:
            self.assertIn(f"\n  {attack} ", said)

    def test_what_is_missing_is_named(self):
        with tempfile.TemporaryDirectory() as empty:
            for name in ("hostile", "soak"):
                done = script(name, "--binaries", empty)
                self.assertEqual((done.returncode, done.stderr), (1, f"{name}: there is no program {empty}/loadgen\n"))
        for name, *wrong in (("hostile", "--only", "nothing"), ("hostile", "--peers", "0"), ("soak", "--minutes", "0")):
            self.assertEqual(script(name, *wrong).returncode, 2, wrong)


@unittest.skipUnless(BUILT, "no mailfly and loadgen: run `cargo build --release --workspace`, or set MAILFLY_BINARY")
class Run(unittest.TestCase):
    """Short runs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.output = folder.name
        self.flags = ("--binaries", FOLDER, "--output", self.output)

    def results(self):
        """What was written."""
        with open(os.path.join(self.output, "results.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_a_few_hundred_attackers_of_each_kind_cost_nobody_any_mail(self):
        done = script("hostile", *self.flags, "--seconds", "2", "--peers", "0.05", "--untimed", "--guard", "on",
                      "--only", "resets", "--only", "full", "--only", "all")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        runs = self.results()["runs"]
        self.assertEqual([run["attack"] for run in runs], ["resets", "full", "all"])
        for run in runs:
            self.assertEqual((run["unfaithful"], run["missed"]), ([0, 0, 0], []), run["attack"])
            self.assertGreater(run["acknowledged"], 0, run["attack"])
            self.assertGreater(run["came"], 0, run["attack"])
        with open(os.path.join(self.output, "results.md"), encoding="utf-8") as file:
            self.assertEqual(file.read(), done.stdout.removesuffix("\n"))

    def test_too_few_descriptors_are_said(self):
        done = subprocess.run(["prlimit", "--nofile=100", os.path.join(TOP, "scripts", "hostile"), *self.flags],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("need a descriptor limit of", done.stderr)

    def test_a_short_soak_loses_nothing_and_leaves_nothing_open(self):
        done = script("soak", *self.flags, "--minutes", "0.15")
        results = self.results()
        self.assertGreater(len(results["samples"]), 3)
        self.assertEqual([round["verify"]["lost"] for round in results["rounds"]], [0] * len(results["rounds"]))
        # In so short a time the slope is of no meaning.
        self.assertRegex(done.stdout, r"(?m)^\| limits missed \| (none|slope) \|$", done.stderr)
        self.assertRegex(done.stdout, r"(?m)^\| descriptors before, after \| (\d+), \1 \|$")

    def test_interrupted_they_leave_nobody_behind(self):
        for name, more in (("hostile", ["--only", "nobody", "--seconds", "60"]), ("soak", [])):
            process = subprocess.Popen([os.path.join(TOP, "scripts", name), *self.flags, *more], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.kill)
            children = []
            while len(children) < 2:
                with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
                    children = file.read().split()
                self.assertIsNone(process.poll(), name)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(SECONDS_MAX), 130, name)
            self.assertTrue(process.stderr.read().endswith(f"{name}: interrupted\n"), name)
            self.assertEqual([child for child in children if os.path.exists(f"/proc/{child}")], [], name)


if __name__ == "__main__":
    unittest.main()
