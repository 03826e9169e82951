"""``carteiro version``: the version and what it was built with."""

import argparse
import json
import platform
import sys

from appliance import __version__

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Say the version of carteiro and of what it is made of."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say Python, OpenSSL and SQLite")


def run(args: argparse.Namespace) -> int:
    """Print and return 0."""
    facts = {"carteiro": __version__}
    if args.json or args.verbose:
        import ssl  # half of this command's time, and rarely asked for

        import apsw

        facts |= {
            "python": platform.python_version(),
            "openssl": ssl.OPENSSL_VERSION,
            "sqlite": apsw.sqlite_lib_version(),
            "frozen": str(bool(getattr(sys, "frozen", False))).lower(),
        }
    if args.json:
        print(json.dumps(facts))
    else:
        print("\n".join(f"{name} {value}" for name, value in facts.items()))
    return 0
