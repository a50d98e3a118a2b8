"""Synthesizer of an environment: `python app.py small` writes its templates to cdk.out/small.

A second argument names the folder of the TOML file; it is `environments` otherwise. Values that
contain EXAMPLE are to be filled in, and refused; `--example` accepts them, for tests.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from infra.build import build, new_app
from infra.settings import ENVIRONMENTS, Settings

OUT = Path(__file__).parent / "cdk.out"


PLACEHOLDER: Final = "EXAMPLE"


def unfilled(values: Any, name: str = "") -> Iterator[str]:
    """Yield the names of settings whose values are to be filled in, with these values."""
    match values:
        case dict():
            for key, value in values.items():
                yield from unfilled(value, f"{name}.{key}" if name else key)
        case list() | tuple():
            for number, value in enumerate(values):
                yield from unfilled(value, f"{name}[{number}]")
        case str() if PLACEHOLDER in values:
            yield f"{name} = {values}"


def main(arguments: list[str]) -> int:
    """Synthesize the file `<name>.toml`; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", default="small")
    parser.add_argument("folder", nargs="?", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--example", action="store_true", help="accept values to fill in")
    given = parser.parse_args(arguments)
    settings = Settings.load(given.name, given.folder)
    missing = [] if given.example else list(unfilled(settings.model_dump()))
    for one in missing:
        print(f"{given.name}.toml: fill in {one}", file=sys.stderr)
    if missing:
        return 2
    app = new_app(str(OUT / given.name))
    build(app, settings)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
