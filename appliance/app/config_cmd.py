"""``carteiro config show`` and ``carteiro config sample``.

Owns nothing but the words: decoding and rendering are ``config``'s.
"""

import argparse
import sys

from appliance.app.configfile import EX_CONFIG, EX_OK, add_config_argument, load_or_explain

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Show the settings in effect, or a sample file with every setting and its default."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|sample")
    show = actions.add_parser("show", help="the settings in effect, defaults filled in, secrets hidden")
    add_config_argument(show)
    show.add_argument("--json", action="store_true", help="as one JSON object")
    actions.add_parser("sample", help="a commented file with every setting")


def run(args: argparse.Namespace) -> int:
    from appliance.config.render import sample, show

    if args.action == "sample":
        sys.stdout.write(sample())
        return EX_OK
    config = load_or_explain(args.config)
    if config is None:
        return EX_CONFIG
    text = show(config)
    if args.json:
        import json
        import tomllib

        text = json.dumps(tomllib.loads(text), ensure_ascii=False, indent=2) + "\n"
    sys.stdout.write(text)
    return EX_OK
