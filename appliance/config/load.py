"""Reads the settings file and the secrets it points to.

Owns every look at the file system that settings need: the file itself, the
smart host's password file, relative paths (taken from the directory of the
file, so that a set-up can be moved as a whole).

Fails: ``ConfigError``, also when the file is missing or not UTF-8.
Does not: check whether directories and certificates are there; that is
``carteiro check``.
"""

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.config.decode import decode_located
from appliance.config.locate import Locator
from appliance.config.problem import ConfigError, Problem, key_text
from appliance.config.schema import Config

__all__ = ["load", "read_text"]

_MAX_FILE_BYTES = 16 * 1024 * 1024
_MAX_SECRET_BYTES = 4_096


def _ignore(_warning: Problem) -> None:
    pass


def load(path: str | Path, warn: Callable[[Problem], None] = _ignore) -> Config:
    """Return the settings of a file, with the smart host's password read in and paths absolute.

    ``warn`` is called with what is dangerous yet no error.
    Blocks:   disk.
    Raises:   ConfigError with all problems.
    """
    path = Path(path)
    config, locator = decode_located(read_text(path), str(path))
    config = _with_absolute_paths(config, path.parent.absolute())
    if config.smarthost.password_file:
        password = _read_secret(config.smarthost.password_file, str(path), locator, warn)
        config = replace(config, smarthost=replace(config.smarthost, password=password))
    return config


def read_text(path: Path) -> str:
    """Return the text of a settings file, line ends as they are. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, "", _why(error))]) from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError([Problem(str(path), 0, "", "is larger than 16 MiB; this cannot be the settings file")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(path), line, "", "is not UTF-8 text; save the file as UTF-8")]) from error


def _with_absolute_paths(config: Config, base: Path) -> Config:
    def absolute(text: str) -> str:
        return str(base / text) if text else text

    return replace(
        config,
        data=absolute(config.data),
        smarthost=replace(config.smarthost, password_file=absolute(config.smarthost.password_file)),
        tls=replace(config.tls, certificate_file=absolute(config.tls.certificate_file), key_file=absolute(config.tls.key_file)),
        relay=replace(config.relay, ca_file=absolute(config.relay.ca_file)),
    )


def _read_secret(name: str, file: str, locator: Locator, warn: Callable[[Problem], None]) -> str:
    key = ("smarthost", "password_file")

    def problem(message: str) -> Problem:
        return Problem(file, locator.line(key), key_text(key), message)

    try:
        with Path(name).open("rb") as stream:
            mode = Path(name).stat().st_mode
            line = stream.read(_MAX_SECRET_BYTES).partition(b"\n")[0]
        secret = line.decode("utf-8").strip()
    except OSError as error:
        raise ConfigError([problem(f"{name}: {_why(error)}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([problem(f"{name} is not UTF-8 text")]) from error
    if not secret:
        raise ConfigError([problem(f"{name}: its first line is empty; the password belongs there")])
    if stat.S_IMODE(mode) & stat.S_IROTH:
        warn(problem(f"{name} can be read by everybody on this machine; run chmod 600 {name}"))
    return secret


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"
