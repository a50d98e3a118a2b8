"""Run of README's tour as a new user does it: `make up`, then the commands of README unchanged.

Run `python -m tests.tour` in a clean clone, with the ports 8000 and 9092 free. `.ci/newcomer` runs
it as an ordinary user, `.ci/pythons` with each other Python. Only the photographs are added:
`photos/`, `photo.jpg` and `in.jpg`, from the folder `--photos`, by default those of scikit-image.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

from pixlake_server.embedded.ports import is_taken

ROOT = Path(__file__).parent.parent
_HEADING = "\n## The tour\n"
_BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_READY = "Pixlake is ready."
_START_SECONDS = 900
_STOP_SECONDS = 60
_PORT = 8000
_FORMATS = {b"\xff\xd8\xff": "small.jpg", b"RIFF": "out.webp"}


def commands(readme: str) -> list[str]:
    """Return the tour's blocks of commands, in order."""
    tour = readme.split(_HEADING)[1].split("\n## ", maxsplit=1)[0]
    return _BLOCK.findall(tour)


def bring_photographs(folder: Path, brought: Path) -> None:
    """Copy the photographs for README's tour: a folder of photographs, and two single files."""
    shown = [path for path in brought.iterdir() if path.suffix == ".jpg"]
    (folder / "photos").mkdir(exist_ok=True)
    for path in shown:
        shutil.copy(path, folder / "photos")
    for name in ("photo.jpg", "in.jpg"):
        shutil.copy(shown[0], folder / name)


def take(folder: Path) -> None:
    """Run the commands against the running Pixlake and check the results; raises on any fault."""
    script = "\n".join(commands((ROOT / "README.md").read_text()))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    sys.stdout.write(done.stdout)
    if "jpeg" not in done.stdout:
        raise SystemExit("the query found no JPEG")
    for magic, name in _FORMATS.items():
        if not (folder / name).read_bytes().startswith(magic):
            raise SystemExit(f"{name} is not what its name says")


def _said() -> str:
    """Return the end of Pixlake's own log, for the log of CI."""
    path = ROOT / ".pixlake" / "logs" / "pixlake.log"
    return path.read_text(errors="replace")[-4000:] if path.exists() else ""


def main() -> None:
    """Start Pixlake, run the tour twice (once with `--once`), stop.

    The second run stores nothing twice.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--once", action="store_true", help="do the tour once")
    given = parser.parse_args()
    bring_photographs(ROOT, given.photos or Path(str(files("skimage.data"))))
    # CI machines are busy, so a start takes longer.
    environment = {**os.environ, "PIXLAKE_START_SECONDS": "600"}
    log = ROOT / "tour.log"
    with log.open("w") as output:
        up = subprocess.Popen(
            ["make", "up"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        ends = time.monotonic() + _START_SECONDS
        while _READY not in log.read_text():
            if up.poll() is not None or time.monotonic() > ends:
                raise SystemExit(f"`make up` did not become ready:\n{log.read_text()}{_said()}")
            time.sleep(0.5)
        for _ in range(1 if given.once else 2):
            take(ROOT)
    finally:
        if up.poll() is None:
            os.killpg(up.pid, signal.SIGINT)
        code = up.wait(_STOP_SECONDS)
    # make waits for the command, and then the signal ends make too.
    if code not in {0, -signal.SIGINT} or "pixlake:" in log.read_text():
        raise SystemExit(f"`make up` ended with {code} after Ctrl-C:\n{log.read_text()}")
    if is_taken(_PORT):
        raise SystemExit(f"something listens on {_PORT} after the stop")


if __name__ == "__main__":
    main()
