"""Tables: schemas of record and row, and their conversion to Arrow, Parquet and JSON.

Not here: where rows are kept. Nothing in this package reads or writes the store.
"""
