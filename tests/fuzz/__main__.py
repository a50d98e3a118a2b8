"""Coverage-guided fuzzing, by atheris and for a bounded time, of the code that reads uploads.

`python -m tests.fuzz [seconds]` (`make fuzz`): each target runs for that time, 120 s by default,
and starts from the files of `tests.photos` and `tests.processors.hostile`. Python code is
instrumented. Codecs are not, so the fuzzer finds crashes and hangs in them only by chance. A find
is written to `.fuzz/` and ends the run with 1: add its bytes to `tests/processors/hostile.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import write_seeds

SECONDS = 120
TARGETS = ("header", "pipeline", "memory")
# The memory limit of a child, for one image; libFuzzer takes its limit in megabytes.
MEMORY_MB = 1200
SLOWEST_SECONDS = 10
LONGEST_FILE = 65_536


def main() -> int:
    """Fuzz every target; returns the exit code, which is 0 if nothing was found."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    home = Path(".fuzz").absolute()
    seeds = write_seeds(home / "seeds")
    failed = [each for each in TARGETS if _fuzz(each, home, seeds, seconds)]
    sys.stdout.write(f"found: {failed or 'nothing'}\n")
    return 1 if failed else 0


def _fuzz(target: str, home: Path, seeds: Path, seconds: int) -> bool:
    corpus, finds = home / f"corpus-{target}", home / f"finds-{target}"
    corpus.mkdir(parents=True, exist_ok=True)
    finds.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={SLOWEST_SECONDS}",
        f"-max_len={LONGEST_FILE}",
        f"-artifact_prefix={finds}/",
        "-print_final_stats=1",
    ]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.fuzz.target",
        target,
        *options,
        corpus,
        seeds,
    ]
    quiet = {**os.environ, "OPENCV_LOG_LEVEL": "SILENT", "PYTHONWARNINGS": "ignore"}
    sys.stdout.write(f"{target}: {seconds} s\n")
    sys.stdout.flush()
    return subprocess.run(command, env=quiet, check=False).returncode != 0


if __name__ == "__main__":
    sys.exit(main())
