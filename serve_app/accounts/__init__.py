"""Tenants and their API keys, in SQL through SQLAlchemy: SQLite or PostgreSQL."""

from serve_app.accounts.account_log import AccountEvent
from serve_app.accounts.accounts import Accounts, IssuedKey, KeyInfo, Principal, actor_of
from serve_app.accounts.first_key import FIRST_TENANT, ensure_first_key
from serve_app.accounts.keys import ADMIN, ERASE, IMAGES, PRESETS, READ, SCOPES, WRITE
from serve_app.accounts.limits import Limits
from serve_app.accounts.tenants import TenantInfo

__all__ = [
    "ADMIN",
    "ERASE",
    "FIRST_TENANT",
    "IMAGES",
    "PRESETS",
    "READ",
    "SCOPES",
    "WRITE",
    "AccountEvent",
    "Accounts",
    "IssuedKey",
    "KeyInfo",
    "Limits",
    "Principal",
    "TenantInfo",
    "actor_of",
    "ensure_first_key",
]
