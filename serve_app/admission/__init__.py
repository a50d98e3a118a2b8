"""Admission: limits and fair shares of uploads and reads, and spillover to peers.

Not here: limits of a single request (`serve_app/upload`).
"""
