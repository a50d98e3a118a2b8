"""Mark of a deprecated route: headers of its answers, and the mark in the OpenAPI document.

`Deprecation` is defined by RFC 9745, `Sunset` by RFC 8594. docs/api.md has the policy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, Final, TypeVar

from starlette.types import Scope

LEAST_DAYS: Final = 180
"""Shortest time between the deprecation of a route and its end, in days."""

_MARK = "__deprecation__"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Deprecation of a route: its day, the day of its end, and the address of an explanation."""

    since: date
    sunset: date
    link: str

    def __post_init__(self) -> None:
        """Raise ValueError for an end that comes too early."""
        if (self.sunset - self.since).days < LEAST_DAYS:
            raise ValueError(f"a route ends {LEAST_DAYS} days after its deprecation or later")

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of each answer of the route."""
        return {
            "Deprecation": f"@{int(_midnight(self.since).timestamp())}",
            "Sunset": format_datetime(_midnight(self.sunset), usegmt=True),
            "Link": f'<{self.link}>; rel="deprecation"; type="text/html"',
        }


def deprecated(*, since: date, sunset: date, link: str) -> Callable[[F], F]:
    """Mark the function of a route as deprecated; stands below the decorator of the route."""
    mark = Deprecation(since, sunset, link)

    def marked(function: F) -> F:
        setattr(function, _MARK, mark)
        return function

    return marked


def deprecation_of(endpoint: object) -> Deprecation | None:
    """Return the mark of a route's function; None without one."""
    found: Deprecation | None = getattr(endpoint, _MARK, None)
    return found


def deprecation_headers(scope: Scope) -> Mapping[str, str]:
    """Return the headers for the route of a request; empty if it is not deprecated."""
    found = deprecation_of(scope.get("endpoint"))
    return {} if found is None else found.headers


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
