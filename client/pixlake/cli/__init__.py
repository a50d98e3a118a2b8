"""The `pixlake` command: one file for each verb, wired in `main.py`.

Every verb prints its result to stdout (with --json only one JSON document, on one line) and
everything else to stderr. Exit codes: 0 done, 1 something was refused or failed, 2 wrong usage.
Slow imports are inside the functions, so that `pixlake --help` is quick. Verbs that work on
the server's own data come from the distribution pixlake-server (`pixlake_server.cli`).
"""
