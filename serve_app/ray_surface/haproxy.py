"""Ray Serve's HAProxy manager, with Pixlake's HAProxy configuration.

Ray has no setting for the configuration; it is a constant of a Ray module. `HAProxyOfOurs` replaces
the constant in the manager process of each node. serve_app/ray_surface/controller.py makes Ray
use the class.
"""

from pathlib import Path
from typing import Any

import ray
from ray.serve._private import haproxy, haproxy_templates
from ray.serve._private.constants import RAY_SERVE_HAPROXY_BINARY_PATH

from serve_app.ray_surface.controller import CONFIGURATION

# A class cannot inherit from a Ray actor class, only from the plain class inside the actor class.
_rays: Any = haproxy.HAProxyManager
_Manager: Any = _rays.__ray_metadata__.modified_class
RAYS_CONFIGURATION = haproxy_templates.HAPROXY_CONFIG_TEMPLATE
"""Ray's own configuration, before it is replaced."""


def use_own_configuration() -> None:
    """Make Ray use Pixlake's HAProxy configuration in this process."""
    ours = Path(RAY_SERVE_HAPROXY_BINARY_PATH).with_name(CONFIGURATION)
    vars(haproxy)["HAPROXY_CONFIG_TEMPLATE"] = ours.read_text()


@ray.remote(num_cpus=0)
class HAProxyOfOurs(_Manager):  # type: ignore[misc]  # the class is known at run time only
    """Ray actor that manages the HAProxy of one node."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        use_own_configuration()
        super().__init__(*arguments, **options)
