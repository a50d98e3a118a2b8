"""Errors of the accounts; `serve_app.errors` maps their codes to HTTP.

AccountsError
  x UnknownKey            unauthorized           malformed, unknown or revoked; never says which
  x InvalidAccount        invalid_account        invalid tenant, scope or name; `value`: the text
  x AccountsUnavailable   accounts_unavailable   the database did not answer; try again
"""

from typing import ClassVar


class AccountsError(Exception):
    """Base class of the accounts' errors; `code` is stable."""

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
    """The key is malformed, unknown or revoked."""

    code = "unauthorized"


class InvalidAccount(AccountsError):
    """The tenant, scope or name is invalid."""

    code = "invalid_account"


class AccountsUnavailable(AccountsError):
    """The database did not answer."""

    code = "accounts_unavailable"
