"""Rebuild: tables made anew from the records, in place or as a shadow lake that takes over.

Not here: the audit that finds out whether a rebuild is necessary (`lake/audit`).
"""
