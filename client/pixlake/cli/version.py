"""`pixlake version`: prints the versions of Pixlake and Python."""

import platform
from importlib.metadata import version as installed

from pixlake.cli import output
from pixlake.cli.options import Json


def version(json: Json = False) -> None:
    """Print the versions of Pixlake and of Python."""
    versions = {"pixlake": installed("pixlake"), "python": platform.python_version()}
    if json:
        output.emit(versions)
    else:
        print(" ".join(f"{name} {number}" for name, number in versions.items()))
