"""Parquet files of the store with any flipped bit end no process, and raise UnreadableObject."""

import subprocess
import sys


def test_a_flipped_bit_is_read_or_refused() -> None:
    command = [sys.executable, "-m", "tests.lake.flipped_parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
