"""Retention: deletion of what has expired, S3's lifecycle rules, changes of the store's settings.

Not here: erasure of single images on request (`lake/commit/erasure.py`).
"""
