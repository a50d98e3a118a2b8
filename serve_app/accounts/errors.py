"""Errors of the accounts; `serve_app.errors` maps their codes to HTTP.

AccountsError
  x UnknownKey            unauthorized           malformed, unknown or revoked; never says which
  x InvalidAccount        invalid_account        invalid tenant, scope or name; `value`: the text
  x AccountsUnavailable   accounts_unavailable   the database did not answer; try again
"""

from lake.errors import CodedError


class AccountsError(CodedError):
    """Base class of the accounts' errors."""

    code = "accounts_error"


class UnknownKey(AccountsError):
    """The key is malformed, unknown or revoked."""

    code = "unauthorized"


class InvalidAccount(AccountsError):
    """The tenant, scope or name is invalid."""

    code = "invalid_account"


class AccountsUnavailable(AccountsError):
    """The database did not answer."""

    code = "accounts_unavailable"
