"""Sandbox: child processes that decode, their pool, their limits, and the protocol with them.

Not here: what a child does to an image (`processors/pipeline.py`).
"""
