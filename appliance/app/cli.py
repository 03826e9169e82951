"""The command ``carteiro``: finds the subcommand, imports only its module, returns its exit code.

Owns the table of commands and the meaning of exit codes (sysexits). Each
command is a module with ``HELP``, ``add_arguments(parser)`` and
``run(args) -> int``, or with ``main(arguments) -> int`` where the grammar is not
argparse's; it is imported when it is asked for, so that ``version`` does not pay
for a server's imports.

Fails: usage errors exit 64 with the usage line; a command's own errors are its
sentences on standard error and a code from sysexits.h; Ctrl-C exits 130.
Sources: sysexits(3), postfix(1).
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

__all__ = ["main"]

EX_USAGE: Final = 64

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "dev": ("appliance.app.dev", "catch every mail on this machine and show it; no file needed"),
    "expect": ("appliance.app.expect", "wait for a caught mail and print its code or link; for tests and CI"),
    "serve": ("appliance.app.serve", "run the mail server"),
    "check": ("appliance.app.check", "check the settings file and what it needs"),
    "config": ("appliance.app.config_cmd", "show the settings in effect, or a sample file"),
    "user": ("appliance.app.user", "add, list, remove users; set passwords"),
    "alias": ("appliance.app.alias", "add, list, remove aliases"),
    "status": ("appliance.app.status", "say whether the server runs, what waits, how far the text index is"),
    "queue": ("appliance.app.queue", "list, show, retry, hold, release, delete queued mail"),
    "trace": ("appliance.app.trace", "say where a message is and what happened to it"),
    "reports": ("appliance.app.reports", "tell what DMARC and TLS reports say"),
    "check-message": ("appliance.app.check_message", "judge a message file: SPF, DKIM, DMARC, ARC"),
    "dkim": ("appliance.app.dkim", "make, show and change the keys that outgoing mail is signed with"),
    "send": ("appliance.app.send", "hand a message to the local server (sendmail-compatible)"),
    "selftest": ("appliance.app.selftest", "start everything on free ports and send mail through it"),
    "help": ("appliance.app.manual", "read the manual: carteiro help TOPIC"),
    "version": ("appliance.app.version", "say the version"),
}


class _Parser(argparse.ArgumentParser):
    """Exits with sysexits' EX_USAGE where argparse would say 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: carteiro COMMAND [ARGS]", "", "commands:", *lines, "", "carteiro COMMAND --help says more of each."])


def _command_of(arguments: Sequence[str], program: str) -> tuple[str, Sequence[str]]:
    """Take the subcommand off the arguments; a link named sendmail is the command send."""
    links = {"sendmail": ("send", arguments), "mailq": ("queue", ["list"]), "newaliases": ("send", ["-bi"])}
    if program in links:
        return links[program]
    if not arguments or arguments[0] in {"-h", "--help"}:
        return "", arguments
    if arguments[0] in {"-V", "--version"}:
        return "version", []
    return arguments[0], arguments[1:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    program = os.path.basename(sys.argv[0]) if arguments is None else "carteiro"  # noqa: PTH119 - pathlib costs 10 ms here
    if hasattr(sys, "_MEIPASS"):
        from appliance.app.frozen import end_with_loader, hold_unpacked_files  # only a built executable has files to hold

        hold_unpacked_files()
        end_with_loader()
    name, rest = _command_of(sys.argv[1:] if arguments is None else arguments, program)
    if not name:
        print(_overview())
        return 0
    if name not in COMMANDS:
        import difflib  # only for a mistyped command

        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"carteiro: no command {name!r}{hint}\n\n{_overview()}", file=sys.stderr)
        return EX_USAGE
    module = importlib.import_module(COMMANDS[name][0])
    try:
        if hasattr(module, "main"):
            return int(module.main(list(rest)))
        parser = _Parser(prog=f"carteiro {name}", description=module.HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(list(rest))))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away (carteiro queue list | head); flushing at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
