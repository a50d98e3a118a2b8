"""Pixels: bytes in, renditions and measures out, in a sandboxed child.

A plain library. It knows no HTTP and no Kafka; Ray only in `deployment.py`, the lake only in
`worker.py`.
"""
