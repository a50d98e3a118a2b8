"""Audit: proof from the store alone that each image is whole and has exactly one row.

Not here: repairs. An audit reports faults; `lake/rebuild` repairs tables.
"""
