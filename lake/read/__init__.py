"""Read: records, bytes and listings of images, SQL views, rows that are not sealed yet.

Not here: anything that writes to the store.
"""
