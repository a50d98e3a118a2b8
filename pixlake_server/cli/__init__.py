"""Verbs that work on the server's own data: one file a verb.

The command `pixlake` finds VERBS by the entry point group `pixlake.verbs`. Heavy imports happen
inside verbs, so that `pixlake --help` is quick.
"""
