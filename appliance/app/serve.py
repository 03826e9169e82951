"""``carteiro serve``: the mail server, until it is told to stop.

Owns the order that privileges dictate: read the settings, open the ports, give
up root, only then touch data and speak to anybody.

Fails: 78 for the settings, 69 for a port that cannot be had, 77 for a user that cannot be become, 73 for data that cannot be opened.
"""

import argparse
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Final

from appliance.app.configfile import EX_CANTCREAT, EX_CONFIG, add_config_argument, load_or_explain
from appliance.app.frozen import end_with_loader, share_unpacked_files
from appliance.app.listening import bind_all, plan
from appliance.config.schema import Config
from appliance.net.endpoints import ListenError, inherited_sockets
from appliance.net.privileges import PrivilegeError, become_user

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Run the mail server in the foreground; SIGTERM stops it, SIGHUP reloads the settings."

EX_UNAVAILABLE: Final = 69
EX_NOPERM: Final = 77


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--log-format", choices=("logfmt", "json"), help="how log lines look; overrides the settings")


def _own_data(config: Config) -> None:
    """Make the data directory while we may, and give it to who will use it."""
    import shutil

    path = Path(config.data)
    if not path.exists():
        path.mkdir(mode=0o700, parents=True)
        shutil.chown(path, config.user)


def run(args: argparse.Namespace) -> int:
    """Serve; return after a clean stop."""
    config = load_or_explain(args.config)
    if config is None:
        return EX_CONFIG
    from appliance.observe.logformat import configure

    configure(config.log.level, args.log_format or config.log.format)
    # A reload asked for before we are ready must not end us; the settings being read are the newest anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        sockets = bind_all(plan(config), inherited_sockets(dict(os.environ), os.getpid()))
        if config.user and os.geteuid() == 0:
            _own_data(config)
            share_unpacked_files(config.user)
            become_user(config.user)
            end_with_loader()
    except ListenError as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_UNAVAILABLE
    except (PrivilegeError, OSError, LookupError) as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_NOPERM
    import trio

    from appliance.app.serving import serve_until_told
    from appliance.app.wiring import SetupError

    try:
        trio.run(partial(serve_until_told, config, sockets, path=args.config), restrict_keyboard_interrupt_to_checkpoints=True)
    except SetupError as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_CANTCREAT
    return 0
