"""Limits of a tenant or key, in SQL: how much its requests may ask for in a second and in a day."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, select, update

from serve_app.accounts.account_log import Act, append
from serve_app.accounts.database import Database
from serve_app.accounts.errors import InvalidAccount, KeyNotFound, TenantNotFound
from serve_app.accounts.tables import API_KEYS, TENANTS
from serve_app.accounts.tenants import create_missing, exists

MAX_A_SECOND: Final = 1_000_000
"""Largest limit of requests or images a second."""
MAX_BYTES_A_SECOND: Final = 10**12
MAX_IMAGES_A_DAY: Final = 10**12
MAX_BYTES_A_DAY: Final = 10**18
_MAX: Final = {
    "requests_per_second": MAX_A_SECOND,
    "images_per_second": MAX_A_SECOND,
    "bytes_per_second": MAX_BYTES_A_SECOND,
    "images_per_day": MAX_IMAGES_A_DAY,
    "bytes_per_day": MAX_BYTES_A_DAY,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one tenant or key; None: no own limit."""

    requests_per_second: int | None = None
    images_per_second: int | None = None
    bytes_per_second: int | None = None
    images_per_day: int | None = None
    bytes_per_day: int | None = None

    def __post_init__(self) -> None:
        """Raise InvalidAccount for a limit that is not within 1 and its largest value."""
        for name, value in self.document().items():
            if value is not None and not 1 <= value <= _MAX[name]:
                raise InvalidAccount(f"{name} is 1 to {_MAX[name]}", limit=_MAX[name], value=value)

    @classmethod
    def stored(cls, document: Mapping[str, Any] | None) -> "Limits":
        """Read the stored form, also one of a later version.

        Unknown limits are ignored, and values above the largest become the largest.
        """
        return cls(
            **{
                name: min(value, _MAX[name])
                for name, value in (document or {}).items()
                if name in _MAX
            }
        )

    def document(self) -> dict[str, int | None]:
        """Return all limits by name."""
        return asdict(self)

    def to_store(self) -> dict[str, int] | None:
        """Return the stored form: the limits that are set, None without one."""
        return {name: each for name, each in self.document().items() if each is not None} or None


NO_LIMITS: Final = Limits()


class AccountLimits:
    """Limits of tenants and keys. All methods block and raise AccountsUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_key(self, prefix: str) -> Limits:
        """Return the limits of a key. Raises KeyNotFound."""
        with self._database.begin() as connection:
            return _key_limits(connection, prefix)

    def of_tenant(self, name: str) -> Limits:
        """Return the limits of a tenant. Raises TenantNotFound."""
        with self._database.begin() as connection:
            return _tenant_limits(connection, name)

    def set_key(self, prefix: str, limits: Limits, *, actor: str) -> Limits:
        """Replace all limits of a key, and return them. Raises KeyNotFound."""
        with self._database.change() as connection:
            before = _key_limits(connection, prefix, lock=True)
            where = API_KEYS.c.prefix == prefix
            if before != limits:
                connection.execute(update(API_KEYS).where(where).values(limits=limits.to_store()))
                _log(connection, actor, "key.limited", prefix, before, limits)
        return limits

    def set_tenant(self, name: str, limits: Limits, *, actor: str) -> Limits:
        """Replace all limits of a tenant, and return them. Raises TenantNotFound."""
        with self._database.change() as connection:
            before = _tenant_limits(connection, name, lock=True)
            if before != limits:
                # During a deployment, a tenant may have keys and no row.
                create_missing(connection, name, actor)
                connection.execute(
                    update(TENANTS).where(TENANTS.c.name == name).values(limits=limits.to_store())
                )
                _log(connection, actor, "tenant.limited", name, before, limits)
        return limits


def copy_limits(connection: Connection, prefix: str, to_prefix: str) -> None:
    """Give a key the limits of another key, in the transaction of the caller."""
    limits = _key_limits(connection, prefix).to_store()
    where = API_KEYS.c.prefix == to_prefix
    connection.execute(update(API_KEYS).where(where).values(limits=limits))


def _key_limits(connection: Connection, prefix: str, *, lock: bool = False) -> Limits:
    found = _stored(connection, API_KEYS, "prefix", prefix, lock=lock)
    if found is None:
        raise KeyNotFound("no API key has this prefix", value=prefix)
    return found


def _tenant_limits(connection: Connection, name: str, *, lock: bool = False) -> Limits:
    found = _stored(connection, TENANTS, "name", name, lock=lock)
    if found is None and not exists(connection, name):
        raise TenantNotFound("no tenant has this name", value=name)
    return found or NO_LIMITS


def _stored(
    connection: Connection, table: Table, column: str, name: str, *, lock: bool
) -> Limits | None:
    query = select(table.c.limits).where(table.c[column] == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Limits.stored(row.limits)


def _log(  # noqa: PLR0917  the arguments of `append`
    connection: Connection, actor: str, act: Act, subject: str, before: Limits, after: Limits
) -> None:
    append(
        connection,
        actor,
        act,
        subject,
        before=before.to_store() or {},
        after=after.to_store() or {},
    )
