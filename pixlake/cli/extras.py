"""Verbs that need more than the light install say so in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from pixlake.cli.failures import CliError

_OURS = frozenset({"serve_app", "ingest", "processors", "lake", "pixlake"})


class ExtraMissing(CliError):
    """A package of an extra is not installed."""

    code = "extra_missing"


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the imports of a verb; raises ExtraMissing with the command that helps."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _OURS:
            raise
        raise ExtraMissing(
            f"{package} is not installed; this needs, in a checkout of Pixlake: "
            f"pip install '.[{name}]'"
        ) from error
