#!/bin/sh
# Makes a Python environment with the OpenAI SDK in the directory $1, once.
set -eu
release=3.3.0
done="$1/installed-$release"
[ -e "$done" ] && exit 0
rm -rf "$1"
python3 -m venv "$1" || {
    echo "Python 3.9 or newer with its venv module is needed: on Debian, apt-get install python3-venv" >&2
    exit 1
}
"$1/bin/python" -m pip install --quiet --disable-pip-version-check "openai==$release" || {
    echo "openai $release could not be installed: PyPI, or a mirror of it that pip knows, must be reachable" >&2
    exit 1
}
touch "$done"
