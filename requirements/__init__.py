"""Locks, and what is known about the packages in them: contents, licences, vulnerabilities.

Not here: what Pixlake itself requires (pyproject.toml).
"""
