"""The settings file as the commands meet it: which one, reading it or saying what is wrong, changing it safely.

Owns the option ``-c``, the default path and the order of an edit: lock, read, change,
decode the result, replace the file in one step. A result that the server would
refuse never reaches the disk.

Sources: sysexits(3), flock(2).
"""

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from appliance.config.decode import decode
from appliance.config.load import load, read_text
from appliance.config.problem import ConfigError, Problem
from appliance.config.schema import Config
from appliance.storage.atomic import replace_file

__all__ = [
    "DEFAULT_PATH",
    "EX_CONFIG",
    "EX_OK",
    "add_config_argument",
    "add_data_arguments",
    "apply_edit",
    "data_directory",
    "load_or_explain",
]

EX_OK: Final = 0
EX_DATAERR: Final = 65
EX_NOUSER: Final = 67
EX_CANTCREAT: Final = 73
EX_IOERR: Final = 74
EX_CONFIG: Final = 78

DEFAULT_PATH: Final = "/etc/carteiro/carteiro.toml"
_RELOAD = "A running server takes it up when it is reloaded: systemctl reload carteiro"


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``-c FILE``; without it ``$CARTEIRO_CONFIG``, then the system's file."""
    default = os.environ.get("CARTEIRO_CONFIG", DEFAULT_PATH)
    parser.add_argument("-c", "--config", metavar="FILE", default=default, help="settings file (default: %(default)s)")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--data DIR`` and ``-c FILE``, for commands that speak to a running server; see ``data_directory``."""
    parser.add_argument("--data", metavar="DIR", help="data directory, instead of the one in the settings file")
    add_config_argument(parser)


def data_directory(args: argparse.Namespace) -> str | None:
    """Return what ``--data`` or else the settings file says, or None as ``load_or_explain`` does."""
    if args.data is not None:
        return str(args.data)
    config = load_or_explain(args.config)
    return None if config is None else config.data


def load_or_explain(path: str, warn: Callable[[Problem], None] | None = None) -> Config | None:
    """Return the settings, or None after all problems were told on standard error; the caller then exits with EX_CONFIG."""
    try:
        return load(path, warn or (lambda problem: print(f"warning: {problem}", file=sys.stderr)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return None


def apply_edit(path: str, edit: Callable[[str], str], done: str) -> int:
    """Change the file with ``edit`` and say ``done``, or say why not. Returns the exit code."""
    from appliance.config.edit import EditError

    file = Path(path)
    try:
        with _locked(file):
            changed = edit(read_text(file))
            decode(changed, path)
            replace_file(file, changed.encode("utf-8"))
    except EditError as error:
        print(f"carteiro: {path}: {error}", file=sys.stderr)
        return EX_NOUSER if error.missing else EX_CANTCREAT if error.exists else EX_DATAERR
    except ConfigError as error:
        print(f"carteiro: {path} was not changed; it would not be valid:\n{error}", file=sys.stderr)
        return EX_CONFIG
    except (OSError, UnicodeEncodeError) as error:
        print(f"carteiro: {path} was not changed: {error}", file=sys.stderr)
        return EX_IOERR
    print(done)
    print(_RELOAD)
    return EX_OK


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other edits out. The file is replaced under its lock, so who waited looks whether it is still the same one."""
    while True:
        try:
            stream = file.open("rb")
        except OSError:
            # Whether it is missing or forbidden, reading it says so in words.
            yield
            return
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(stream.fileno()), file.stat()):
                yield
                return
