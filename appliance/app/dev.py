"""``carteiro dev``: catches every mail on this machine; no settings file, any login, nothing leaves.

Owns the options, the settings made from them and the words at the start.
"""

import argparse
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from appliance.app.listening import Listener, bind_all, plan, socket_address
from appliance.config.schema import (
    Config,
    ImapConfig,
    LimitsConfig,
    LogConfig,
    Pop3Config,
    QueueConfig,
    SmtpConfig,
    SubmissionConfig,
    WebConfig,
)
from appliance.net.endpoints import ListenError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Catch every mail sent to this machine and show it: SMTP, POP3, IMAP and a page, with nothing to configure."

EX_UNAVAILABLE: Final = 69
EX_CANTCREAT: Final = 73
DOMAIN: Final = "localhost.localdomain"
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
PORTS: Final = {"smtp": 1025, "pop3": 1110, "imap": 1143, "http": 8025}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine alone)")
    for name, port in PORTS.items():
        parser.add_argument(
            f"--{name}-port", type=_port, default=port, metavar="N", help=f"port for {name.upper()} (default: {port}; 0: any free one)"
        )
    parser.add_argument(
        "--max-messages", type=_count, default=10_000, metavar="N", help="keep the latest N messages (default: 10,000; 0: all)"
    )
    parser.add_argument(
        "--max-age", type=_duration, default=0.0, metavar="TIME", help="delete messages after 30m, 12h, 7d ... (default: never)"
    )
    parser.add_argument(
        "--inbox-by",
        choices=("user", "recipient", "domain"),
        default="",
        help="an inbox of its own, with its own IMAP and POP3 login, for each SMTP login, recipient or domain (default: one for all)",
    )
    parser.add_argument("--data", metavar="DIR", help="keep mail in this directory (default: a temporary one, removed at the end)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="warning", help="default: %(default)s")
    parser.add_argument("--log-format", choices=("logfmt", "json"), default="logfmt", help="default: %(default)s")


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than none")
    return number


def _duration(text: str) -> float:
    """Return seconds for ``90``, ``90s``, ``30m``, ``12h``, ``7d``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no time: 90s, 30m, 12h, 7d")
    return float(int(number) * _UNITS[unit])


def settings(args: argparse.Namespace, data: str) -> Config:
    """Return the settings that the options amount to. Safe, but quick to take mail: nobody's letters are at stake."""
    host = f"[{args.host}]" if ":" in args.host else args.host
    return Config(
        domain=DOMAIN,
        hostname="carteiro.localhost",
        data=data,
        smtp=SmtpConfig(listen=(f"{host}:{args.smtp_port}",), max_commands_without_mail=0),
        submission=SubmissionConfig(listen=(), listen_tls=()),
        imap=ImapConfig(listen=(f"{host}:{args.imap_port}",), listen_tls=()),
        pop3=Pop3Config(listen=(f"{host}:{args.pop3_port}",), listen_tls=()),
        web=WebConfig(listen=(f"{host}:{args.http_port}",)),
        queue=QueueConfig(min_free_bytes=0),
        limits=LimitsConfig(max_connections_per_address=0, shutdown_grace_s=2),
        log=LogConfig(level=args.log_level, format=args.log_format),
    )


def _words(sockets: Mapping[Listener, Sequence[socket.socket]], data: str, *, is_temporary: bool) -> str:
    """Return what is said when everything answers."""

    def address(name: str) -> str:
        return socket_address(next(bound[0] for listener, bound in sockets.items() if listener.name == name))

    kept = f"{data} (temporary: gone when carteiro stops; --data DIR keeps it)" if is_temporary else data
    return "\n".join(
        [
            "Carteiro catches your mail. Any address, any login; nothing leaves this machine.",
            f"  SMTP  {address('smtp')}",
            f"  POP3  {address('pop3')}   user dev, any password",
            f"  IMAP  {address('imap')}   user dev, any password",
            f"  Web   http://{address('http')}",
            f"  Mail  {data}/mail/dev  (Maildir)",
            f"  Data  {kept}",
            "Ctrl-C stops it.",
        ]
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    try:
        data = str(Path(args.data).absolute()) if args.data else tempfile.mkdtemp(prefix="carteiro-dev-")
    except OSError as error:
        print(f"carteiro: no temporary directory can be made: {error.strerror}; name one with --data DIR", file=sys.stderr)
        return EX_CANTCREAT
    try:
        return _serve(args, data)
    finally:
        if not args.data:
            shutil.rmtree(data, ignore_errors=True)


def _serve(args: argparse.Namespace, data: str) -> int:
    config = settings(args, data)
    from appliance.observe.logformat import configure

    configure(config.log.level, config.log.format)
    try:
        sockets = bind_all(plan(config), {})
    except ListenError as error:
        print(f"carteiro: {error} (--smtp-port 0 and its like take any free port)", file=sys.stderr)
        return EX_UNAVAILABLE
    import trio

    from appliance.app.catching import CatcherOptions
    from appliance.app.serving import serve_until_told
    from appliance.app.wiring import SetupError

    catcher = CatcherOptions(keep=args.max_messages, max_age_s=args.max_age, inbox_by=args.inbox_by)
    words = _words(sockets, data, is_temporary=not args.data)
    try:
        trio.run(
            partial(serve_until_told, config, sockets, dev=True, catcher=catcher, ready=lambda _parts, _runtime: print(words, flush=True)),
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
    except SetupError as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_CANTCREAT
    return 0
