"""Verbs that work on the server's own data, one file each.

The command `pixlake` finds VERBS by the entry point group `pixlake.verbs`. Slow imports are inside
the functions, so that `pixlake --help` is quick.
"""
