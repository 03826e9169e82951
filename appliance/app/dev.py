"""``carteiro dev``: catches every mail on this machine; no settings file, any login, nothing leaves.

Owns the settings made from the options (``dev_options``) and the words at the start.
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

from appliance.app.dev_options import OptionError, add_arguments, catcher_options, listen_on
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
EX_USAGE: Final = 64


def settings(args: argparse.Namespace, data: str) -> Config:
    """Return the settings that the options amount to. Safe, but quick to take mail: nobody's letters are at stake."""
    return Config(
        domain=DOMAIN,
        hostname="carteiro.localhost",
        data=data,
        smtp=SmtpConfig(listen=(listen_on(args, "smtp"),), max_commands_without_mail=0),
        submission=SubmissionConfig(listen=(), listen_tls=()),
        imap=ImapConfig(listen=(listen_on(args, "imap"),), listen_tls=()),
        pop3=Pop3Config(listen=(listen_on(args, "pop3"),), listen_tls=()),
        web=WebConfig(listen=(listen_on(args, "http"),)),
        queue=QueueConfig(min_free_bytes=0),
        limits=LimitsConfig(max_connections_per_address=0, shutdown_grace_s=2),
        log=LogConfig(level=args.log_level, format=args.log_format),
    )


def _words(sockets: Mapping[Listener, Sequence[socket.socket]], data: str, *, is_temporary: bool, root: str = "/", relay: str = "") -> str:
    """Return what is said when everything answers."""

    def address(name: str) -> str:
        return socket_address(next(bound[0] for listener, bound in sockets.items() if listener.name == name))

    leaves = f"what is released leaves by {relay}" if relay else "nothing leaves this machine"
    kept = f"{data} (temporary: gone when carteiro stops; --data DIR keeps it)" if is_temporary else data
    return "\n".join(
        [
            f"Carteiro catches your mail. Any address, any login; {leaves}.",
            f"  SMTP  {address('smtp')}",
            f"  POP3  {address('pop3')}   user dev, any password",
            f"  IMAP  {address('imap')}   user dev, any password",
            f"  Web   http://{address('http')}{root.rstrip('/')}",
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
    try:
        catcher = catcher_options(args)
    except OptionError as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_USAGE
    config = settings(args, data)
    from appliance.observe.logformat import configure

    configure(config.log.level, config.log.format)
    try:
        sockets = bind_all(plan(config), {})
    except ListenError as error:
        print(f"carteiro: {error} (--smtp-port 0 and its like take any free port)", file=sys.stderr)
        return EX_UNAVAILABLE
    import trio

    from appliance.app.serving import serve_until_told
    from appliance.app.wiring import SetupError

    words = _words(sockets, data, is_temporary=not args.data, root=args.webroot, relay=catcher.relay.server if catcher.relay else "")
    try:
        trio.run(
            partial(serve_until_told, config, sockets, dev=True, catcher=catcher, ready=lambda _parts, _runtime: print(words, flush=True)),
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
    except SetupError as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_CANTCREAT
    return 0
