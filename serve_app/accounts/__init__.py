"""Tenants and their API keys, in SQL through SQLAlchemy: SQLite or PostgreSQL."""

from serve_app.accounts.accounts import Accounts, KeyInfo, Principal
from serve_app.accounts.first_key import FIRST_TENANT, ensure_first_key
from serve_app.accounts.keys import IMAGES, PRESETS, READ, SCOPES, WRITE

__all__ = [
    "FIRST_TENANT",
    "IMAGES",
    "PRESETS",
    "READ",
    "SCOPES",
    "WRITE",
    "Accounts",
    "KeyInfo",
    "Principal",
    "ensure_first_key",
]
