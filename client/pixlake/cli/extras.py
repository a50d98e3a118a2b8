"""Errors of verbs that need a package or a distribution that is not installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pixlake.cli.failures import CliError

VERBS = (
    *("up", "demo", "upload", "produce", "process", "ls", "get", "query"),
    *(
        "schema",
        "seal",
        "erase",
        "audit",
        "canary",
        "sweep",
        "rebuild",
        "status",
        "plan",
        "version",
    ),
    *("store", "preset", "lifecycle", "keys", "tenants", "accounts"),
)
"""all verbs, also those of pixlake-server, in the order in which a new user needs them"""
_OURS = frozenset({"serve_app", "ingest", "processors", "lake", "pixlake", "pixlake_server"})


class ExtraMissing(CliError):
    """Missing package of an extra, or missing distribution of a verb."""

    code = "extra_missing"


@contextmanager
def extra(distribution: str) -> Iterator[None]:
    """Wrap a verb's imports of optional packages; raises ExtraMissing with the remedy.

    `distribution` names the extra, as in `pixlake[kafka]`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _OURS:
            raise
        raise ExtraMissing(
            f"{package} is not installed; this needs: pip install '{distribution}'"
        ) from error


def missing(name: str) -> Callable[[], None]:
    """Create the stand-in for a verb of pixlake-server, which raises ExtraMissing."""
    distribution = "pixlake-server[embedded]" if name == "up" else "pixlake-server"

    def verb() -> None:
        raise ExtraMissing(
            f"`pixlake {name}` works on the server's own data and needs pixlake-server, which is "
            f"not installed: pip install '{distribution}'"
        )

    return verb
