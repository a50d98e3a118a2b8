"""Batch: many images in one request, as a tar archive or a form, answered by a line for each.

An image of a batch takes the way of a single upload (`serve_app/upload/upload.py`).
"""
