"""scripts/bench, with one short run: it measures both servers, writes its results, and leaves nobody behind."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "clients"))
from mailfly import SECONDS_MAX, binary  # noqa: E402 (its folder is known only now)

SCRIPT = os.path.join(TOP, "scripts", "bench")
FOLDER = os.path.dirname(binary() or "")
BUILT = FOLDER and os.path.exists(os.path.join(FOLDER, "loadgen"))


def bench(*flags):
    """Runs it to its end."""
    return subprocess.run([SCRIPT, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=2 * SECONDS_MAX, check=False)


class Usage(unittest.TestCase):
    """What it says before it does anything."""

    def test_help_names_every_shape(self):
        said = bench("--help").stdout
        for shape in ("new-1k", "new-pipelined-1k", "keep-1k", "keep-10k", "keep-100k", "pipelined-1k", "burst-1k",
                      "bdat-1k", "spread-1k", "idle-1k", "open-loop", "beside-readers", "http-list", "http-source"):
            self.assertIn(f"\n  {shape} ", said)

    def test_one_core_is_not_enough(self):
        done = subprocess.run(["taskset", "-c", str(min(os.sched_getaffinity(0))), SCRIPT], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("one core is not enough", done.stderr)

    def test_what_is_missing_is_named(self):
        with tempfile.TemporaryDirectory() as empty:
            done = bench("--binaries", empty)
        self.assertEqual((done.returncode, done.stderr), (1, f"bench: there is no program {empty}/loadgen\n"))
        for wrong in (("--only", "nothing"), ("--rounds", "0"), ("--seconds", "0")):
            self.assertEqual(bench(*wrong).returncode, 2, wrong)


@unittest.skipUnless(BUILT, "no mailfly and loadgen: run `cargo build --release --workspace`, or set MAILFLY_BINARY")
@unittest.skipUnless(len(os.sched_getaffinity(0)) > 1, "one core: there is nothing to measure on")
class Run(unittest.TestCase):
    """One short run."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.output = folder.name
        self.flags = ("--binaries", FOLDER, "--output", self.output, "--rounds", "1", "--only", "keep-1k")

    def test_a_table_and_every_run_are_written(self):
        done = bench(*self.flags, "--seconds", "0.2", "--only", "bdat-1k")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.output, "results.md"), encoding="utf-8") as file:
            self.assertEqual(file.read(), done.stdout.removesuffix("\n"))
        number = r"[0-9,]+(?:\.[0-9]+)?"
        self.assertRegex(done.stdout, rf"(?m)^\| kept connections, lockstep, 1 KiB (\| {number} ){{5}}\|$")
        self.assertRegex(done.stdout, rf"(?m)^\| kept, BDAT, 1 KiB \| {number} \| - \| - \| {number} \| - \|$")
        with open(os.path.join(self.output, "results.json"), encoding="utf-8") as file:
            runs = json.load(file)["runs"]
        self.assertEqual(sorted((run["shape"], run["server"]) for run in runs),
                         [("bdat-1k", "mailfly"), ("keep-1k", "mailfly"), ("keep-1k", "smtp-sink")])
        for run in runs:
            report = run["report"]
            self.assertEqual(report["errors"]["total"], 0)
            # loadgen's clock and the kernel's ticks tell the same story: the latter has the warm-up too.
            counted = report["server"]["cpu_us_per_message"] * report["messages"]["acknowledged"] / 1e6
            self.assertLessEqual(counted, report["server_cpu_seconds_in_all"] + 0.02)

    def test_interrupted_it_leaves_nobody_behind(self):
        process = subprocess.Popen([SCRIPT, *self.flags, "--seconds", "60"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertIn("round 1 of 1: keep-1k, mailfly", process.stderr.readline())
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        self.assertGreaterEqual(len(children), 2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(SECONDS_MAX), 130)
        self.assertRegex(process.stderr.read(), re.compile("interrupted$", re.M))
        # All of them were waited for, so none is there even as a zombie.
        self.assertEqual([child for child in children if os.path.exists(f"/proc/{child}")], [])


if __name__ == "__main__":
    unittest.main()
