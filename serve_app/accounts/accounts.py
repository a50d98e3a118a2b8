"""Accounts: API keys of tenants, in SQLite or PostgreSQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, tuple_, update

from processors.nearest import did_you_mean
from serve_app.accounts import keys
from serve_app.accounts.account_log import LOCAL, AccountLog, append
from serve_app.accounts.database import CONNECT_SECONDS, Database, utc, utc_or_none
from serve_app.accounts.errors import InvalidAccount, KeyNotFound, TenantSuspended, UnknownKey
from serve_app.accounts.limits import NO_LIMITS, AccountLimits, Limits, copy_limits
from serve_app.accounts.tables import API_KEYS, TENANTS
from serve_app.accounts.tenants import Tenants, create_missing
from serve_app.accounts.usage import Usage

MAX_NAME = 100
"""Longest name of a key, in characters."""
LAST_USED_ACCURACY = timedelta(minutes=10)
"""Accuracy of a key's last use: a busy key costs one write in this time."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Authenticated caller: tenant, scopes, prefix and expiry of its key, and limits of both."""

    tenant: str
    scopes: frozenset[str]
    prefix: str
    expires_at: datetime | None = None
    key_limits: Limits = NO_LIMITS
    tenant_limits: Limits = NO_LIMITS


def actor_of(principal: Principal) -> str:
    """Return the name of a caller in the audit log."""
    return f"key {principal.prefix} of {principal.tenant}"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """Public facts about a key."""

    prefix: str
    tenant: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """New key: its text, which is not stored, and its public facts."""

    text: str
    info: KeyInfo


class Accounts:
    """API keys, with the tenants and the audit log of the same database.

    All methods block, so an event loop must call them in a thread. All are thread-safe, and all
    raise AccountsUnavailable when the database does not answer. Each change is appended to the
    audit log in its transaction, under the name of its `actor`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tenants = Tenants(database)
        self.log = AccountLog(database)
        self.limits = AccountLimits(database)
        self.usage = Usage(database)

    @classmethod
    def open(cls, database_url: str, *, connect_seconds: int = CONNECT_SECONDS) -> "Accounts":
        """Connect to the database, and migrate it to this version's tables.

        Supports `sqlite:///file` and `postgresql://…`. Raises ValueError for another URL.
        """
        return cls(Database.open(database_url, connect_seconds=connect_seconds))

    def create_key(
        self,
        tenant: str,
        scopes: Iterable[str],
        name: str,
        *,
        expires_at: datetime | None = None,
        actor: str = LOCAL,
    ) -> IssuedKey:
        """Create a key, and its tenant if the tenant is missing; raises InvalidAccount."""
        granted = _checked_scopes(scopes)
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise InvalidAccount(f"a key's name has 1 to {MAX_NAME} printable characters")
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidAccount("a key must expire in the future", value=expires_at.isoformat())
        with self._database.change() as connection:
            create_missing(connection, tenant, actor)
            issued = _insert(connection, tenant, granted, name, expires_at)
            append(
                connection,
                actor,
                "key.created",
                issued.info.prefix,
                after={
                    "tenant": tenant,
                    "name": name,
                    "scopes": " ".join(sorted(granted)),
                    "expires_at": _text(expires_at),
                },
            )
        return issued

    def rotate(self, prefix: str, overlap: timedelta, *, actor: str = LOCAL) -> IssuedKey:
        """Replace a key: create one with the same tenant, scopes, name and limits.

        The old key expires after the overlap, or at its own expiry if that is earlier; the new key
        has the lifetime of the old one. Raises KeyNotFound.
        """
        now = datetime.now(UTC)
        with self._database.change() as connection:
            old = _active(connection, prefix, now)
            ends_at = min(now + overlap, old.expires_at or now + overlap)
            lifetime = None if old.expires_at is None else old.expires_at - old.created_at
            connection.execute(
                update(API_KEYS).where(API_KEYS.c.prefix == prefix).values(expires_at=ends_at)
            )
            issued = _insert(
                connection,
                old.tenant,
                old.scopes,
                old.name,
                None if lifetime is None else now + lifetime,
            )
            copy_limits(connection, prefix, issued.info.prefix)
            append(
                connection,
                actor,
                "key.rotated",
                prefix,
                before={"expires_at": _text(old.expires_at)},
                after={"expires_at": _text(ends_at), "replaced_by": issued.info.prefix},
            )
        return issued

    def revoke(self, prefix: str, *, actor: str = LOCAL) -> bool:
        """Revoke the key with this prefix; returns False if it is revoked already.

        Raises KeyNotFound if there never was such a key.
        """
        with self._database.change() as connection:
            known = connection.execute(
                select(API_KEYS.c.revoked_at).where(API_KEYS.c.prefix == prefix).with_for_update()
            ).one_or_none()
            if known is None:
                raise KeyNotFound("no API key has this prefix", value=prefix)
            if known.revoked_at is not None:
                return False
            now = datetime.now(UTC)
            connection.execute(
                update(API_KEYS).where(API_KEYS.c.prefix == prefix).values(revoked_at=now)
            )
            append(
                connection,
                actor,
                "key.revoked",
                prefix,
                before={"revoked_at": None},
                after={"revoked_at": _text(now)},
            )
        return True

    def verify(self, key: str) -> Principal:
        """Find the holder of a key. Raises UnknownKey, TenantSuspended."""
        secret = keys.parse(key)
        if secret is None:
            raise UnknownKey("this is not an API key")
        query = (
            select(
                API_KEYS.c.digest,
                API_KEYS.c.tenant,
                API_KEYS.c.scopes,
                API_KEYS.c.expires_at,
                API_KEYS.c.limits.label("key_limits"),
                TENANTS.c.limits.label("tenant_limits"),
                TENANTS.c.suspended_at,
            )
            .outerjoin(TENANTS, TENANTS.c.name == API_KEYS.c.tenant)
            .where((API_KEYS.c.prefix == secret.prefix) & API_KEYS.c.revoked_at.is_(None))
        )
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        if row is None or not secret.proves(row.digest):
            raise UnknownKey("no such API key")
        expires_at = utc_or_none(row.expires_at)
        check_expiry(expires_at)
        if row.suspended_at is not None:
            raise TenantSuspended("the tenant of this API key is suspended", value=row.tenant)
        return Principal(
            row.tenant,
            frozenset(row.scopes.split()),
            secret.prefix,
            expires_at,
            Limits.stored(row.key_limits),
            Limits.stored(row.tenant_limits),
        )

    def note_use(self, prefix: str) -> None:
        """Store that a key was used now, unless a use within the accuracy is stored."""
        now = datetime.now(UTC)
        late = API_KEYS.c.last_used_at.is_(None) | (
            API_KEYS.c.last_used_at < now - LAST_USED_ACCURACY
        )
        with self._database.begin() as connection:
            connection.execute(
                update(API_KEYS)
                .where((API_KEYS.c.prefix == prefix) & late)
                .values(last_used_at=now)
            )

    def key(self, prefix: str) -> KeyInfo:
        """Find a key by its prefix. Raises KeyNotFound."""
        with self._database.begin() as connection:
            row = connection.execute(select(API_KEYS).where(API_KEYS.c.prefix == prefix)).first()
        if row is None:
            raise KeyNotFound("no API key has this prefix", value=prefix)
        return _info(row)

    def keys(
        self, *, tenant: str | None = None, after: str | None = None, limit: int | None = None
    ) -> list[KeyInfo]:
        """List keys, revoked ones included, oldest first.

        `after`: only keys that follow the key with this prefix.
        """
        order = tuple_(API_KEYS.c.created_at, API_KEYS.c.prefix)
        query = select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.prefix).limit(limit)
        if tenant is not None:
            query = query.where(API_KEYS.c.tenant == tenant)
        if after is not None:
            last = select(API_KEYS.c.created_at, API_KEYS.c.prefix).where(
                API_KEYS.c.prefix == after
            )
            query = query.where(order > last.scalar_subquery())
        with self._database.begin() as connection:
            return [_info(row) for row in connection.execute(query).all()]

    def healthy(self) -> None:
        """Check the database with one cheap query."""
        with self._database.begin() as connection:
            connection.execute(select(API_KEYS.c.prefix).limit(1)).first()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()


def check_expiry(expires_at: datetime | None) -> None:
    """Raise UnknownKey if the key of a caller that has proved its secret is expired."""
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise UnknownKey(f"this API key expired at {expires_at:%Y-%m-%dT%H:%M:%SZ}")


def _checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    granted = frozenset(scopes)
    if not granted or not granted <= keys.SCOPES:
        hint = "".join(did_you_mean(each, keys.SCOPES) for each in sorted(granted - keys.SCOPES))
        raise InvalidAccount(f"scopes are {', '.join(sorted(keys.SCOPES))}{hint}")
    return granted


def _insert(
    connection: Connection,
    tenant: str,
    scopes: frozenset[str],
    name: str,
    expires_at: datetime | None,
) -> IssuedKey:
    secret, now = keys.new_secret(), datetime.now(UTC)
    connection.execute(
        insert(API_KEYS).values(
            prefix=secret.prefix,
            digest=secret.digest,
            tenant=tenant,
            name=name,
            scopes=" ".join(sorted(scopes)),
            created_at=now,
            expires_at=expires_at,
        )
    )
    info = KeyInfo(secret.prefix, tenant, name, scopes, now, None, expires_at, None)
    return IssuedKey(secret.text, info)


def _active(connection: Connection, prefix: str, now: datetime) -> KeyInfo:
    """Lock and return a key that is neither revoked nor expired. Raises KeyNotFound."""
    row = connection.execute(
        select(API_KEYS).where(API_KEYS.c.prefix == prefix).with_for_update()
    ).first()
    found = None if row is None else _info(row)
    if found is None or found.revoked_at or (found.expires_at and found.expires_at <= now):
        raise KeyNotFound("no active API key has this prefix", value=prefix)
    return found


def _info(row: Row[Any]) -> KeyInfo:
    return KeyInfo(
        row.prefix,
        row.tenant,
        row.name,
        frozenset(row.scopes.split()),
        utc(row.created_at),
        utc_or_none(row.revoked_at),
        utc_or_none(row.expires_at),
        utc_or_none(row.last_used_at),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
