"""Durable storage: objects, records, journal, sealed Parquet, and the readers of all four."""
