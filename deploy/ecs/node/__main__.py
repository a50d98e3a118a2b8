"""The image's entrypoint: `python -m node head|worker|ingest|setup`.

Starts `ray start --block`, hands SIGTERM on to it, ends when it ends. ECS sends SIGTERM, waits for
the task's stop timeout, then kills: Ray drains the node within that.
"""

import logging
import os
import signal
import subprocess
import sys
from types import FrameType

from node import environment
from node.command import ray_start
from node.settings import Kind, NodeSettings

log = logging.getLogger("node")

_CHECK_SECONDS = 2.0


def main() -> int:
    """Exit code: 0 after SIGTERM, Ray's own otherwise."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind == "setup":
        from node.setup import make_user  # noqa: PLC0415  # only this task has the driver's secrets

        return make_user()
    if kind not in ("head", "worker", "ingest"):
        sys.stderr.write("usage: python -m node head|worker|ingest|setup\n")
        return 2
    return _run(kind, NodeSettings())  # type: ignore[arg-type]  # one of the three


def _run(kind: Kind, settings: NodeSettings) -> int:
    if not environment.writable(settings.scratch):
        log.error("%s cannot be written to", settings.scratch)
        return 1
    variables = {**os.environ, **environment.ray_environment(settings, kind)}
    variables["NODE_ADDRESS"] = address = environment.own_address(settings)
    password = variables.pop("RAY_REDIS_PASSWORD", None)
    ray = subprocess.Popen(ray_start(settings, kind, address, password), env=variables)  # noqa: S603
    stopping = _hand_on(ray)
    director: subprocess.Popen[bytes] | None = None
    while True:
        try:
            code = ray.wait(_CHECK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            if kind == "head" and (director is None or director.poll() is not None):
                director = subprocess.Popen([sys.executable, "-m", "node.director"], env=variables)
    if director is not None:
        director.kill()
        director.wait()
    return 0 if stopping else code


def _hand_on(ray: subprocess.Popen[bytes]) -> list[int]:
    """SIGTERM goes to Ray, which drains; the list says whether one came."""
    came: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        came.append(number)
        ray.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, terminate)
    return came


if __name__ == "__main__":
    sys.exit(main())
