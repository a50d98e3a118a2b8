"""Faults of the accounts; the door maps them to HTTP.

AccountsError
  x UnknownKey            unauthorized           malformed, unknown or revoked; never says which
  x InvalidAccount        invalid_account        a tenant, scope or name that can't be; `value` says
  x AccountsUnavailable   accounts_unavailable   the database did not answer; try again
"""

from typing import ClassVar


class AccountsError(Exception):
    """A fault with a stable code."""

    code: ClassVar[str] = "accounts_error"

    def __init__(self, message: str, *, value: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.limit: float | None = None
        self.value = value

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.value)


def _rebuild(kind: type[AccountsError], message: str, value: str | None) -> AccountsError:
    return kind(message, value=value)


class UnknownKey(AccountsError):
    """No living key is this one."""

    code = "unauthorized"


class InvalidAccount(AccountsError):
    """A tenant, a scope or a name that no key can have."""

    code = "invalid_account"


class AccountsUnavailable(AccountsError):
    """The database did not answer."""

    code = "accounts_unavailable"
