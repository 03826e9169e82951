"""``carteiro check``: everything that is wrong or unwise about a settings file and what it points to, in one run.

Owns the looks at this machine: permissions, directories, users, ports,
certificates. What the file itself says wrong comes from ``config.decode``, what it
says unwisely from ``config.advice``.

Fails: exit 78 if something must be put right before the server is of use; warnings leave 0.
Does not: use the network; that is for ``doctor``.

Sources: postfix check, sysexits(3), capabilities(7).
"""

import argparse
import json
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.app.certcheck import check_authorities, check_certificate
from appliance.app.configfile import EX_CONFIG, EX_OK, add_config_argument
from appliance.config.advice import advice
from appliance.config.decode import decode_located
from appliance.config.kinds import split_listen
from appliance.config.load import load, read_text
from appliance.config.locate import Locator
from appliance.config.problem import ConfigError, KeyPath, Problem, key_text
from appliance.config.schema import Config

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Check the settings file and what it needs: users, addresses, directories, ports, certificates."

_CAP_NET_BIND_SERVICE = 10
_PRIVILEGED_PORTS = 1_024


@dataclass(frozen=True, slots=True)
class _Finding:
    problem: Problem
    is_error: bool

    def __str__(self) -> str:
        return f"{'error' if self.is_error else 'warning'}: {self.problem}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="as a JSON list")


def run(args: argparse.Namespace) -> int:
    findings = _findings(args.config)
    has_errors = any(finding.is_error for finding in findings)
    if args.json:
        print(json.dumps([_as_json(finding) for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            print(finding, file=sys.stderr)
        if not has_errors:
            print(f"{args.config} is fine." if not findings else f"{args.config} can be used; see the warnings.")
    return EX_CONFIG if has_errors else EX_OK


def _as_json(finding: _Finding) -> dict[str, str | int]:
    problem = finding.problem
    level = "error" if finding.is_error else "warning"
    return {"level": level, "file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message}


def _findings(path: str) -> list[_Finding]:
    """Return errors in the order of the file, then warnings likewise."""
    warnings: list[Problem] = []
    try:
        config = load(path, warnings.append)
        locator = decode_located(read_text(Path(path)), path)[1]
    except ConfigError as error:
        return [_Finding(problem, is_error=True) for problem in error.problems]
    reporter = _Reporter(path, locator)
    for place, advised in advice(config):
        reporter.add(place, advised)
    _check_settings_file(Path(path), config, reporter)
    _check_data(config, reporter)
    _check_ports(config, reporter)
    if config.tls.certificate_file:
        for key, message, is_error in check_certificate(config):
            reporter.add(("tls", key), message, is_error=is_error)
    if config.relay.ca_file:
        for message in check_authorities(config.relay.ca_file):
            reporter.add(("relay", "ca_file"), message, is_error=True)
    found = [*(_Finding(problem, is_error=False) for problem in warnings), *reporter.findings]
    return sorted(found, key=lambda finding: (not finding.is_error, finding.problem.line))


class _Reporter:
    def __init__(self, file: str, locator: Locator) -> None:
        self._file = file
        self._locator = locator
        self.findings: list[_Finding] = []

    def add(self, path: KeyPath, message: str, *, is_error: bool = False) -> None:
        self.findings.append(_Finding(Problem(self._file, self._locator.line(path), key_text(path), message), is_error))


def _check_settings_file(path: Path, config: Config, reporter: _Reporter) -> None:
    mode = path.stat().st_mode
    has_secrets = any(user.password for user in config.users) or config.smarthost.password or any(route.password for route in config.routes)
    if has_secrets and mode & stat.S_IROTH:
        reporter.add((), f"holds passwords or their hashes and everybody on this machine can read it; run chmod o-r {path}")
    if mode & stat.S_IWOTH:
        reporter.add((), f"everybody on this machine can change it; run chmod o-w {path}", is_error=True)


def _check_data(config: Config, reporter: _Reporter) -> None:
    owner = _system_user(config, reporter)
    data = Path(config.data)
    try:
        found = data.stat()
    except FileNotFoundError:
        parent = next(each for each in data.parents if each.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            reporter.add(("data",), f"{data} is not there, and {parent} does not let it be made; make it and give it to the server's user")
        return
    except OSError as error:
        reporter.add(("data",), f"{data}: {error.strerror}")
        return
    if not stat.S_ISDIR(found.st_mode):
        reporter.add(("data",), f"{data} is not a directory", is_error=True)
    elif found.st_mode & 0o077:
        reporter.add(("data",), f"{data} lets other users of this machine in; run chmod 700 {data}")
    elif owner is not None and found.st_uid != owner:
        reporter.add(("data",), f"{data} does not belong to {config.user}; run chown -R {config.user} {data}", is_error=True)
    elif owner is None and os.geteuid() not in {0, found.st_uid}:
        reporter.add(("data",), f"{data} belongs to another user; run this check as the user that the server runs as")


def _system_user(config: Config, reporter: _Reporter) -> int | None:
    if not config.user:
        return None
    try:
        return pwd.getpwnam(config.user).pw_uid
    except KeyError:
        reporter.add(("user",), f"no system user {config.user} is there; make it or clear this setting", is_error=True)
        return None


def _listeners(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name in ("smtp", "submission", "lmtp", "imap", "pop3", "web"):
        for key in ("listen", "listen_tls"):
            for index, text in enumerate(getattr(getattr(config, name), key, ())):
                yield (name, key, index), text


def _check_ports(config: Config, reporter: _Reporter) -> None:
    first_free = _first_unprivileged_port()
    may_bind = os.geteuid() == 0 or _has_bind_capability()
    for path, text in _listeners(config):
        address = split_listen(text)
        if isinstance(address, str):
            continue
        host, port = address
        if host.startswith("unix:"):
            directory = Path(host.removeprefix("unix:")).parent
            if not directory.is_dir():
                reporter.add(path, f"{directory} is not there; the socket cannot be made")
        elif 0 < port < first_free and not may_bind:
            reporter.add(path, f"port {port} needs a privilege that this user lacks: start as root, or let systemd open it")


def _first_unprivileged_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _PRIVILEGED_PORTS


def _has_bind_capability() -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = status.partition("CapEff:")[2].split(maxsplit=1)
    return bool(effective) and bool(int(effective[0], 16) >> _CAP_NET_BIND_SERVICE & 1)
