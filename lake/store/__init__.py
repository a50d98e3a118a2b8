"""Store: objects with the guarantees that commits need, the store's clock, settings and probe.

Not here: what the objects mean. This package knows no image, no row and no record.
"""
