"""Admission: limits and fair shares of uploads and reads, and spill-over to peers.

Not here: limits of a single request (`serve_app/upload`).
"""
