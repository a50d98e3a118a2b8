"""Ray Serve's manager of HAProxy, with our configuration in place of Ray's own.

Ray has no setting for the configuration. It is a constant of a module, so it is replaced in the
process of each node's manager, which is of this class: see `serve_app/controller.py`.
"""

from pathlib import Path
from typing import Any

import ray
from ray.serve._private import haproxy, haproxy_templates
from ray.serve._private.constants import RAY_SERVE_HAPROXY_BINARY_PATH

from serve_app.controller import CONFIGURATION

# Ray allows no class to inherit from an actor's, only from the plain class that it was made of.
_rays: Any = haproxy.HAProxyManager
_Manager: Any = _rays.__ray_metadata__.modified_class
RAYS_CONFIGURATION = haproxy_templates.HAPROXY_CONFIG_TEMPLATE
"""What ours stands in for."""


def use_own_configuration() -> None:
    """From now on Ray writes our configuration for HAProxy, in this process."""
    ours = Path(RAY_SERVE_HAPROXY_BINARY_PATH).with_name(CONFIGURATION)
    vars(haproxy)["HAPROXY_CONFIG_TEMPLATE"] = ours.read_text()


@ray.remote(num_cpus=0)
class HAProxyOfOurs(_Manager):  # type: ignore[misc]  # the class is known at run time only
    """Ray's manager of one node's HAProxy."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        use_own_configuration()
        super().__init__(*arguments, **options)
