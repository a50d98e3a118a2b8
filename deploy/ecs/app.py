"""Synthesizer of an environment: `python app.py small` writes its templates to cdk.out/small.

A second argument names the folder of the TOML file; it is `environments` otherwise.
"""

import argparse
from pathlib import Path

from infra.build import build, new_app
from infra.settings import ENVIRONMENTS, Settings

OUT = Path(__file__).parent / "cdk.out"


def main() -> None:
    """Synthesize the file `<name>.toml`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", default="small")
    parser.add_argument("folder", nargs="?", type=Path, default=ENVIRONMENTS)
    given = parser.parse_args()
    app = new_app(str(OUT / given.name))
    build(app, Settings.load(given.name, given.folder))
    app.synth()


if __name__ == "__main__":
    main()
