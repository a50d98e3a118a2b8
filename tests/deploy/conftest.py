"""The entrypoints are no package of the service: the image has them beside it, and so have we."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "deploy" / "ecs" / "image"))
