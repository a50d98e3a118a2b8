"""Adds the entrypoints to `sys.path`, as the image does: they are not in the service's package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "deploy" / "ecs" / "image"))
