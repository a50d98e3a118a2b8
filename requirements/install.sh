#!/bin/sh
# Make the virtual environment, or bring it up to the lock. Usage: install.sh up|dev
#
# Does nothing, in a moment, when the lock is the one that was installed last. `make up` and
# `make test` may call it at the same time: the second waits for the first.
#
# For `make up` wheels alone: a source distribution would run code of its package while it is
# installed. For the tests pyvips comes as one.
#
# uv installs several times faster than pip and shows how far it is. It comes as a wheel, of the
# version and hash that dev.txt locks; where it cannot be had or fails, pip does the work.
set -eu
set="$1"
venv="${VENV:-.venv}"
python="${PYTHON:-python3}"

fail() { echo "$*" >&2; exit 1; }

# $1.txt is a lock, the two pyproject.toml name the project's own commands: a stamp for each.
digest() { cat $1 | cksum; }
projects="pyproject.toml client/pyproject.toml"
stamped() { [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$(digest "$2")" ]; }
# dev.txt holds all of up.txt, at the same versions.
locked() { stamped "$set" "requirements/$set.txt" || stamped dev requirements/dev.txt; }
installed() { [ -x "$venv/bin/python" ] && locked && stamped project "$projects"; }
installed && exit 0

command -v "$python" >/dev/null || fail "There is no $python here. Pixlake needs Python 3.11 to 3.13; set PYTHON=..."
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
    fail "Pixlake needs Python 3.11 to 3.13, and $python is $("$python" -V 2>&1); set PYTHON=..."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module; on Debian: apt-get install python3-venv"

# Measured: packages and their cache, with room for both where they are on two disks.
case "$set" in
    up) download="0.5 GB"; need_kb=2500000; wheels="--only-binary :all:" ;;
    *) download="0.7 GB"; need_kb=3500000; wheels="" ;;
esac

mkdir -p "$venv"
if command -v flock >/dev/null; then
    # Not `.lock`: uv itself locks that file.
    exec 9>"$venv/.install.lock"
    if ! flock -n 9; then
        echo "Another make is installing into $venv; waiting for it ..."
        flock 9
    fi
    installed && exit 0
fi

# A stamp is a new file: the old one may be linked to from a copy of this folder.
stamp() { digest "$2" >"$venv/.stamp" && mv "$venv/.stamp" "$venv/.installed-$1"; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
system_authorities() {
    "$venv/bin/python" -c 'import ssl; print(ssl.get_default_verify_paths().cafile or "")'
}
# uv knows none of pip's settings, and trusts a list of its own: the proxy of a company may sign with
# an authority that only this machine's list has.
with_pips_settings() {
    UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(pip config get global.index-url 2>/dev/null || true)}}"
    UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
    SSL_CERT_FILE="${SSL_CERT_FILE:-${PIP_CERT:-$(system_authorities)}}"
    for name in UV_DEFAULT_INDEX UV_FIND_LINKS SSL_CERT_FILE; do
        eval "value=\$$name"
        if [ -n "$value" ]; then export "${name?}"; else unset "$name"; fi
    done
    "$@"
}
get_uv() {
    [ -x "$venv/bin/uv" ] && return
    sed -n '/^uv==/,/[^\\]$/p' requirements/dev.txt >"$venv/.uv.txt"
    pip install --quiet --require-hashes --only-binary :all: --no-deps -r "$venv/.uv.txt"
}
uv_install() {
    with_pips_settings "$venv/bin/uv" pip install --python "$venv/bin/python" --require-hashes \
        $wheels -r "requirements/$set.txt"
}

if ! locked; then
    if [ ! -x "$venv/bin/pip" ]; then
        free_kb=$(df -Pk "$venv" | awk 'NR == 2 { print $4 }')
        [ "$free_kb" -ge "$need_kb" ] ||
            fail "$((free_kb / 1000)) MB are free on the disk of $venv; the packages take $((need_kb / 1000)) MB"
    fi
    count=$(grep -c '^[a-z].*==' "requirements/$set.txt")
    echo "Installing $count packages into $venv: up to $download to fetch, minutes once."
    echo "1 of 3: the virtual environment, and uv, which installs the rest"
    [ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
    if get_uv && echo "2 of 3: the packages that requirements/$set.txt locks" && uv_install; then :; else
        echo "uv did not do it; pip does, slower"
        pip install --require-hashes $wheels -r "requirements/$set.txt"
    fi
    stamp "$set" "requirements/$set.txt"
fi
# Not again without need: a running Pixlake imports from here.
if ! stamped project "$projects"; then
    echo "3 of 3: Pixlake itself, from this folder"
    pip install --quiet --no-deps --no-build-isolation -e client -e .
    stamp project "$projects"
fi
