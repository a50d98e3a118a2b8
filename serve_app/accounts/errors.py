"""Errors of the accounts; `serve_app.errors` maps their codes to HTTP.

AccountsError
  x UnknownKey            unauthorized           malformed, unknown, revoked or expired
  x TenantSuspended       tenant_suspended       `value`: the tenant
  x InvalidAccount        invalid_account        invalid tenant, scope, name or time; `value`: text
  x KeyNotFound           key_not_found          `value`: the prefix
  x TenantNotFound        tenant_not_found       `value`: the name
  x AccountsUnavailable   accounts_unavailable   the database did not answer; try again
"""

from lake.errors import CodedError


class AccountsError(CodedError):
    """Base class of the accounts' errors."""

    code = "accounts_error"


class UnknownKey(AccountsError):
    """The key is malformed, unknown, revoked or expired."""

    code = "unauthorized"


class TenantSuspended(AccountsError):
    """The tenant of the key is suspended: none of its keys is accepted."""

    code = "tenant_suspended"


class InvalidAccount(AccountsError):
    """The tenant, scope, name or expiry is invalid."""

    code = "invalid_account"


class KeyNotFound(AccountsError):
    """No active key has this prefix."""

    code = "key_not_found"


class TenantNotFound(AccountsError):
    """No tenant has this name."""

    code = "tenant_not_found"


class AccountsUnavailable(AccountsError):
    """The database did not answer."""

    code = "accounts_unavailable"
