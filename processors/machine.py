"""Memory limit of this process: the limit of its container, or the machine's memory."""

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OF_PROCESS = Path("/proc/self/cgroup")


def memory_limit(root: Path = _ROOT, of_process: Path = _OF_PROCESS) -> int:
    """Return the machine's memory or the lowest memory limit of this process, in bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_limits(root, of_process)])


def _limits(root: Path, of_process: Path) -> list[int]:
    """Return the memory limits of the process's control groups, versions 1 and 2, with parents."""
    try:
        lines = of_process.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        # In a container the path may be the host's, and then only the base folder is visible.
        limits += [_number(each / name) for each in (group, *group.parents) if _within(each, base)]
    return [each for each in limits if each is not None]


def _within(group: Path, base: Path) -> bool:
    return group == base or base in group.parents


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None  # "max" means no limit
