"""``carteiro alias add|list|remove``: edits ``[aliases]`` of the settings file and keeps its comments."""

import argparse
import json

from appliance.app.configfile import EX_CONFIG, EX_OK, add_config_argument, apply_edit, load_or_explain
from appliance.config.edit import add_alias, remove_alias

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Add, list and remove aliases: addresses that lead to users or to other addresses."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|remove")
    add = actions.add_parser("add", help="let an address lead to one or more targets; an alias that is there gets them as well")
    add.add_argument("alias", help="address, or local part in each of your domains")
    add.add_argument("targets", nargs="+", metavar="target", help="user, alias or full address")
    remove = actions.add_parser("remove", help="remove an alias, or only some of its targets")
    remove.add_argument("alias")
    remove.add_argument("targets", nargs="*", metavar="target", help="only these; none: the alias as a whole")
    show = actions.add_parser("list", help="list all aliases")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    for each in (add, remove, show):
        add_config_argument(each)


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        return _list(args)
    targets = list(args.targets)
    if args.action == "add":
        done = f"{args.alias} leads to {', '.join(targets)} as well now."
        return apply_edit(args.config, lambda text: add_alias(text, args.alias, targets), done)
    done = f"{args.alias} no longer leads to {', '.join(targets)}." if targets else f"Alias {args.alias} is removed."
    return apply_edit(args.config, lambda text: remove_alias(text, args.alias, targets), done)


def _list(args: argparse.Namespace) -> int:
    config = load_or_explain(args.config)
    if config is None:
        return EX_CONFIG
    if args.json:
        print(json.dumps({key: list(targets) for key, targets in config.aliases.items()}, ensure_ascii=False))
        return EX_OK
    width = max(map(len, config.aliases), default=0)
    for key, targets in config.aliases.items():
        print(f"{key.ljust(width)}  {', '.join(targets)}")
    return EX_OK
