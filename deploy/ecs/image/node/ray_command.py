"""The command `ray`, whose head has no Ray Client server: `python -m node.ray_command start ...`.

That server is a door to run code from outside, which nobody here needs; and when it does not come
up in its 30 s, on a busy machine, the whole head ends. Ray has no switch for it.
"""

import sys
from typing import Any

from ray.scripts import scripts


def main() -> None:
    """As `ray`."""
    ray: Any = scripts
    ray.get_ray_client_dependency_error = lambda: ImportError("not wanted here")
    sys.argv[0] = "ray"
    ray.main()


if __name__ == "__main__":
    main()
