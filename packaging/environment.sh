# Makes the private Python environment that run, test and build share. Sourced, POSIX sh.
#
# Sets ROOT (the checkout) and BIN (the environment's commands). The environment lies in .venv
# beside the sources, or where CARTEIRO_ENV says; it is renewed when a requirements file changed.

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
ENVIRONMENT=${CARTEIRO_ENV:-$ROOT/.venv}
BIN=$ENVIRONMENT/bin

say() { printf 'carteiro: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

apt_quietly() {
    # Installs Debian packages; one line on success, apt's own words on failure.
    apt_log=$(mktemp)
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"; } >"$apt_log" 2>&1; then
        tail -n 20 "$apt_log" >&2
        rm -f "$apt_log"
        return 1
    fi
    rm -f "$apt_log"
}

find_python() {
    # The distribution's interpreter first: it is built with profile guidance and runs a fifth faster than a plain build.
    for candidate in ${PYTHON:-} /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

need_venv_module() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing python3-venv"
        apt_quietly python3-venv && return 0
    fi
    fail "Python's venv module is missing. Type: sudo apt install python3-venv"
}

make_environment() {
    # make_environment KIND: requirements${KIND}.txt decides what is in it.
    requirements=$ROOT/packaging/requirements$1.txt
    mark=$ENVIRONMENT/carteiro$1.installed
    if [ -x "$BIN/python" ] && cmp -s "$requirements" "$mark"; then
        return 0
    fi
    if [ ! -x "$BIN/python" ]; then
        python=$(find_python) || fail "Python 3.11 or newer is needed. Type: sudo apt install python3"
        need_venv_module "$python"
        say "making a private environment in $ENVIRONMENT"
        "$python" -m venv "$ENVIRONMENT" || fail "cannot make $ENVIRONMENT; set CARTEIRO_ENV to a directory that can be written"
    fi
    say "installing $(grep -c '==' "$requirements") packages, checked by hash (a minute or so)"
    pip_log=$ENVIRONMENT/pip.log
    if ! "$BIN/python" -m pip --disable-pip-version-check --no-input install -q --require-hashes -r "$requirements" >"$pip_log" 2>&1; then
        tail -n 20 "$pip_log" >&2
        fail "installing failed; the whole story is in $pip_log"
    fi
    "$BIN/python" - "$ROOT" <<'PY' || fail "cannot write into $ENVIRONMENT"
import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "carteiro.pth").write_text(sys.argv[1] + "\n")
PY
    cp "$requirements" "$mark"
}
