"""Valkey or Redis: data that several processes share and that may be lost at any time.

Without `PIXLAKE_CACHE_URL` none of it is used. Durable data is in the store and in the accounts
database only.
"""
