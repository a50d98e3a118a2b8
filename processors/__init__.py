"""Image processing: makes renditions and measures of an image's bytes, in sandboxed children.

The package is a plain library without HTTP and Kafka. Only `deployment.py` uses Ray. Only
`deployment.py`, `worker.py` and `presets.py` read or write the lake.
"""
