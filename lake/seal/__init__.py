"""Seal: rows move from the journal to Parquet files; closed hours are compacted; the watermark.

Not here: records, which sealing never reads, and the rebuild from records (`lake/rebuild`).
"""
