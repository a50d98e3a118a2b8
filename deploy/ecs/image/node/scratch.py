"""Scratch folder of a node: the only folder that its processes can write to."""

import os
from pathlib import Path

# Size of the trial file. A full disk allows empty files, and sometimes one more line of a log.
_PROBE_BYTES = 64 * 1024


def writable(folder: Path) -> bool:
    """True if the folder accepts a file with content; it does not on a full disk."""
    probe = folder / f".writable-{os.getpid()}"
    try:
        probe.write_bytes(bytes(_PROBE_BYTES))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True
