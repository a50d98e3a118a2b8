#!/bin/sh
# Create a virtual environment of this project, or update it to its lock.
# Usage: install.sh .venv requirements.txt | install.sh .venv-emulator requirements-emulator.txt
set -eu
cd "$(dirname "$0")"
venv="$1" lock="$2" python="${PYTHON:-python3}"
mkdir -p "$venv"
exec 9>"$venv/.lock"
flock 9
[ "$(cat "$venv/.installed" 2>/dev/null)" = "$(cksum <"$lock")" ] && exit 0
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
echo "Installing what deploy/ecs/$lock locks into deploy/ecs/$venv ..."
"$venv/bin/python" -m pip --disable-pip-version-check --no-input --quiet install \
    --require-hashes --only-binary :all: -r "$lock"
cksum <"$lock" >"$venv/.installed"
