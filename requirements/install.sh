#!/bin/sh
# Make the virtual environment, or bring it up to the lock. Usage: install.sh server|dev
#
# Does nothing, in a moment, when the lock is the one that was installed last. `make up` and
# `make test` may call it at the same time: the second waits for the first.
set -eu
set="$1"
venv="${VENV:-.venv}"
python="${PYTHON:-python3}"

fail() { echo "$*" >&2; exit 1; }

# $1.txt is a lock, pyproject.toml names the project's own command: a stamp for each.
digest() { cksum <"$1"; }
stamped() { [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$(digest "$2")" ]; }
# dev.txt holds all of server.txt, at the same versions.
locked() { stamped "$set" "requirements/$set.txt" || stamped dev requirements/dev.txt; }
installed() { [ -x "$venv/bin/python" ] && locked && stamped project pyproject.toml; }
installed && exit 0

command -v "$python" >/dev/null || fail "There is no $python here. Pixlake needs Python 3.11 to 3.13; set PYTHON=..."
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
    fail "Pixlake needs Python 3.11 to 3.13, and $python is $("$python" -V 2>&1); set PYTHON=..."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module; on Debian: apt-get install python3-venv"

mkdir -p "$venv"
if command -v flock >/dev/null; then
    exec 9>"$venv/.lock"
    flock 9
    installed && exit 0
fi
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input --quiet "$@"; }
if ! locked; then
    echo "Installing what requirements/$set.txt locks into $venv ..."
    pip install --require-hashes -r "requirements/$set.txt"
    digest "requirements/$set.txt" >"$venv/.installed-$set"
fi
# Not again without need: a running Pixlake imports from here.
if ! stamped project pyproject.toml; then
    pip install --no-deps --no-build-isolation -e .
    digest pyproject.toml >"$venv/.installed-project"
fi
