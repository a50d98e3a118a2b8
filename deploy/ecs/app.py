"""Synthesizer of an environment: `python app.py small` writes its templates to cdk.out/small."""

import sys
from pathlib import Path

from infra.build import build, new_app
from infra.settings import Settings

OUT = Path(__file__).parent / "cdk.out"


def main() -> None:
    """Synthesize `environments/<name>.toml`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "small"
    app = new_app(str(OUT / name))
    build(app, Settings.load(name))
    app.synth()


if __name__ == "__main__":
    main()
