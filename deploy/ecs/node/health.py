"""ECS's container health check: `python -m node.health`, exit code 0 while Ray's node lives.

Asks the node itself and not the API: a node that drains is well, and one that just joined, too.
"""

import os
import sys

import psutil

_PARTS = {"head": {"gcs_server", "raylet"}, "worker": {"raylet"}, "ingest": {"raylet"}}


def alive(kind: str, names: set[str]) -> bool:
    """Whether everything that makes a node of this kind runs."""
    return _PARTS[kind] <= names


def main() -> int:
    """Exit code."""
    names = {process.name() for process in psutil.process_iter()}
    return 0 if alive(os.environ["NODE_KIND"], names) else 1


if __name__ == "__main__":
    sys.exit(main())
