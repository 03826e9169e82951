# Makes the private Python environment that run, test and build share. Sourced, POSIX sh.
#
# Sets ROOT (the checkout) and BIN (the environment's commands). The environment lies in .venv
# beside the sources, in the user's cache when the checkout cannot be written, or where
# CARTEIRO_ENV says. It is renewed when a requirements file changed, the checkout moved or its
# Python went away. Once it is there, nothing here needs the network.

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

choose_place() {
    if [ -n "${CARTEIRO_ENV:-}" ]; then
        echo "$CARTEIRO_ENV"
    elif [ -w "$ROOT/.venv" ] || { [ ! -e "$ROOT/.venv" ] && [ -w "$ROOT" ]; }; then
        echo "$ROOT/.venv"
    else
        # One environment for each checkout that this user cannot write.
        echo "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/carteiro/env-$(printf %s "$ROOT" | cksum | cut -d' ' -f1)"
    fi
}

ENVIRONMENT=$(choose_place)
BIN=$ENVIRONMENT/bin

say() { printf 'carteiro: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

apt_quietly() {
    # Installs Debian packages; nothing on success, apt's own words on failure.
    apt_log=$(mktemp)
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"; } >"$apt_log" 2>&1 </dev/null; then
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
    # On Debian the module is a package of its own, named after the version.
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $package"
        apt_quietly "$package" && return 0
    fi
    fail "Python's venv module is missing. Type: sudo apt install $package"
}

renew_environment() {
    python=$(find_python) || fail "Python 3.11 or newer is needed. Type: sudo apt install python3"
    need_venv_module "$python"
    say "making a private environment in $ENVIRONMENT"
    "$python" -m venv --clear "$ENVIRONMENT" || fail "cannot make $ENVIRONMENT; set CARTEIRO_ENV to a directory that can be written"
    touch "$ENVIRONMENT/carteiro.made"
}

install_requirements() {
    say "installing $(grep -c '==' "$1") packages, checked by hash (a minute or so)"
    pip_log=$ENVIRONMENT/pip.log
    if ! "$BIN/python" -m pip --disable-pip-version-check --no-input install -q --require-hashes -r "$1" >"$pip_log" 2>&1; then
        tail -n 20 "$pip_log" >&2
        fail "installing failed; the whole story is in $pip_log"
    fi
    "$BIN/python" - "$ROOT" <<'PY' || fail "cannot write into $ENVIRONMENT"
import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "carteiro.pth").write_text(sys.argv[1] + "\n")
PY
}

make_environment() {
    # make_environment KIND: requirements${KIND}.txt decides what is in it.
    requirements=$ROOT/packaging/requirements$1.txt
    mark=$ENVIRONMENT/carteiro$1.installed
    wanted=$(printf '%s %s' "$ROOT" "$(cksum <"$requirements")")
    if [ -x "$BIN/python" ] && [ "$(cat "$mark" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    mkdir -p "$ENVIRONMENT" 2>/dev/null || fail "cannot make $ENVIRONMENT; set CARTEIRO_ENV to a directory that can be written"
    # Two that start at once must not install over each other. The directory itself is locked; renewing only empties it.
    exec 9<"$ENVIRONMENT"
    flock 9 2>/dev/null || true
    if [ ! -x "$BIN/python" ] || [ ! -e "$ENVIRONMENT/carteiro.made" ]; then
        renew_environment
    fi
    if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
        install_requirements "$requirements"
        printf '%s' "$wanted" >"$mark"
    fi
    exec 9<&-
}
