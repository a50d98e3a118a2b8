"""The `pixlake` command: one file a verb, wired in `main.py`.

Every verb prints its result to stdout (with --json: one JSON document on one line, nothing else)
and everything else to stderr. It exits 0 when done, 1 when something was refused or failed,
2 for wrong usage. Heavy imports happen inside verbs, so that `pixlake --help` is quick. Verbs that
work on the server's own data come from the distribution pixlake-server (`pixlake_server.cli`).
"""
