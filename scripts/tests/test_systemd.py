"""The units in scripts/systemd: that systemd understands every line of them, and that they pass the
sockets under the names that the program knows. Not here: what the program does with sockets that it
is passed (tests/confinement.rs)."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

UNITS = pathlib.Path(__file__).parent.parent / "systemd"
SECONDS_MAX = 60


class Units(unittest.TestCase):
    def test_systemd_understands_every_line(self):
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            self.skipTest("this machine has no systemd-analyze")
        with tempfile.TemporaryDirectory() as folder:
            for unit in UNITS.iterdir():
                # It has to be there to be started.
                text = unit.read_text().replace("/usr/local/bin/mailfly", "/bin/true")
                pathlib.Path(folder, unit.name).write_text(text)
            units = sorted(str(path) for path in pathlib.Path(folder).iterdir())
            self.assertEqual(len(units), 5)
            run = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True,
                                 timeout=SECONDS_MAX, env={"PATH": os.environ["PATH"]})
            # It speaks of other units of the machine too.
            said = [line for line in run.stderr.splitlines() if "mailfly" in line]
            self.assertEqual((run.returncode, said), (0, []))

    def test_the_sockets_have_the_names_that_the_program_knows(self):
        for service in ("smtp", "http", "smtps", "https"):
            lines = (UNITS / f"mailfly-{service}.socket").read_text().splitlines()
            self.assertIn(f"FileDescriptorName={service}", lines)
            self.assertIn("Service=mailfly.service", lines)


if __name__ == "__main__":
    unittest.main()
