"""Commit: what makes an image, a refusal, an erasure or a preset durable; the journal.

Not here: sealed Parquet files (`lake/seal`).
"""
