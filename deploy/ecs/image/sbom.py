"""Bill of materials of this Python environment, as CycloneDX 1.6: `python sbom.py LOCK FILE`.

Names, versions and licences come from the installed distributions, hashes from the lock. Uses only
the standard library, because it runs during the build of the image.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_Hashes = dict[tuple[str, str], list[str]]
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(lock: str) -> dict[str, Any]:
    """Build the bill of all installed distributions; raises ValueError if a version differs."""
    hashes = _hashes(lock)
    found = {_name(one): one for one in distributions()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "pixlake"}},
        "components": [_component(found[name], hashes) for name in sorted(found)],
    }


def _component(one: Distribution, hashes: _Hashes) -> dict[str, Any]:
    name = _name(one)
    locked = hashes.get((name, one.version))
    if locked is None and any(known == name for known, _ in hashes):
        raise ValueError(f"{name} {one.version} is installed, but the lock has another version")
    component: dict[str, Any] = {
        "type": "library",
        "name": name,
        "version": one.version,
        "purl": f"pkg:pypi/{name}@{one.version}",
    }
    licence = one.metadata["License-Expression"] or one.metadata["License"]
    if licence and "\n" not in licence:
        component["licenses"] = [{"license": {"name": licence}}]
    if locked:
        # Hashes of all files that the lock allows; the installed file depends on the machine.
        component["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in locked]
    return component


def _hashes(lock: str) -> _Hashes:
    starts = [*_LOCKED.finditer(lock)]
    ends = [*(start.start() for start in starts[1:]), len(lock)]
    # The lock may contain a name twice, for two versions of Python.
    return {
        (_normal(start[1]), start[2]): _HASH.findall(lock[start.end() : end])
        for start, end in zip(starts, ends, strict=True)
    }


def _name(one: Distribution) -> str:
    return _normal(one.metadata["Name"])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the bill to a file."""
    lock, target = map(Path, sys.argv[1:])
    target.write_text(json.dumps(bill(lock.read_text()), indent=1) + "\n")


if __name__ == "__main__":
    main()
