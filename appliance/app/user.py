"""``carteiro user add|passwd|list|remove``: edits ``[[users]]`` of the settings file and keeps its comments.

Owns where a new password comes from: asked twice, one line of standard input, or made
up. It is never taken from the command line, where every user of the machine could read it.

Sources: passwd(1), htpasswd(1); NIST SP 800-63B section 3.1.1 (length over rules).
"""

import argparse
import json
import secrets
import sys
from pathlib import Path

from appliance.app.configfile import EX_CONFIG, EX_OK, add_config_argument, apply_edit, load_or_explain
from appliance.config.edit import EditError, add_user, remove_user, set_user_key, user_names
from appliance.config.effective import user_addresses
from appliance.config.kinds import account_name
from appliance.config.load import load, read_text
from appliance.config.problem import ConfigError
from appliance.config.schema import Config, LoginConfig

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Add, list and remove users; set their passwords."

EX_USAGE = 64
EX_DATAERR = 65
EX_NOUSER = 67
EX_CANTCREAT = 73
_GOOD_LENGTH = 8
# Without letters and digits that look alike; 31 ** 20 is 99 bits.
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS = 4
_GROUP_LENGTH = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|passwd|list|remove")
    add = actions.add_parser("add", help="add a user with a password")
    add.add_argument("--address", action="append", default=[], dest="addresses", help="a full address of the user; may be repeated")
    add.add_argument("--format", choices=["maildir", "mbox"], help="how the user's mail lies on disk")
    add.add_argument("--quota-bytes", type=int, metavar="N", help="largest total size of the user's mail")
    passwd = actions.add_parser("passwd", help="set a user's password")
    remove = actions.add_parser("remove", help="remove a user; the mail stays on the disk")
    show = actions.add_parser("list", help="list all users")
    show.add_argument("--json", action="store_true", help="as a JSON list")
    for each in (add, passwd, remove):
        each.add_argument("name", help="the user's name, as in the login")
    for each in (add, passwd):
        source = each.add_mutually_exclusive_group()
        source.add_argument("--password-stdin", action="store_true", help="read the password from the first line of standard input")
        source.add_argument("--generate", action="store_true", help="make a password and print it")
    for each in (add, passwd, remove, show):
        add_config_argument(each)


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        config = load_or_explain(args.config)
        return EX_CONFIG if config is None else _list(args, config)
    try:
        is_there = args.name in user_names(read_text(Path(args.config)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except EditError as error:
        print(f"carteiro: {args.config}: {error}", file=sys.stderr)
        return EX_CONFIG
    settings = _settings(args.config)
    if args.action == "add":
        return _add(args, settings.login, is_there=is_there)
    if not is_there:
        print(f"carteiro: no user {args.name} is in {args.config}", file=sys.stderr)
        return EX_NOUSER
    return _remove(args, settings) if args.action == "remove" else _passwd(args, settings.login)


def _settings(path: str) -> Config:
    """Return the settings, or defaults while the file is wrong: the edit may be what puts it right, and only its result must be valid."""
    try:
        return load(path)
    except ConfigError:
        return Config()


def _list(args: argparse.Namespace, config: Config) -> int:
    rows = [
        {
            "name": user.name,
            "addresses": list(user_addresses(config, user)),
            "format": user.format or config.mail.format,
            "quota_bytes": user.quota_bytes,
            "login": bool(user.password),
        }
        for user in config.users
    ]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
        return EX_OK
    width = max((len(user.name) for user in config.users), default=0)
    for user in config.users:
        note = "" if user.password else "  (no password, no login)"
        print(f"{user.name.ljust(width)}  {', '.join(user_addresses(config, user))}{note}")
    return EX_OK


def _add(args: argparse.Namespace, login: LoginConfig, *, is_there: bool) -> int:
    wrong = account_name(args.name)
    if wrong:
        print(f"carteiro: {wrong}", file=sys.stderr)
        return EX_DATAERR
    if is_there:
        print(f"carteiro: user {args.name} is already there; `carteiro user passwd {args.name}` sets a new password", file=sys.stderr)
        return EX_CANTCREAT
    password = _new_password(args)
    if password is None:
        return EX_USAGE
    keys: dict[str, str | int | list[str]] = {"password": _stored(password, login)}
    if args.addresses:
        keys["addresses"] = list(args.addresses)
    if args.format:
        keys["format"] = args.format
    if args.quota_bytes is not None:
        keys["quota_bytes"] = args.quota_bytes
    code = apply_edit(args.config, lambda text: add_user(text, args.name, keys), f"User {args.name} is added.")
    return _tell(args, password, code)


def _passwd(args: argparse.Namespace, login: LoginConfig) -> int:
    password = _new_password(args)
    if password is None:
        return EX_USAGE
    stored = _stored(password, login)
    done = f"{args.name} has a new password."
    return _tell(args, password, apply_edit(args.config, lambda text: set_user_key(text, args.name, "password", stored), done))


def _remove(args: argparse.Namespace, config: Config) -> int:
    mail = Path(config.data) / "mail" / args.name
    done = f"User {args.name} is removed. Mail received so far stays in {mail}."
    return apply_edit(args.config, lambda text: remove_user(text, args.name), done)


def _stored(password: str, login: LoginConfig) -> str:
    # Listing and removing users need no cryptography.
    from appliance.storage.accounts import hash_password

    return hash_password(password, login.argon2_memory_kib, secrets.token_bytes(16), secrets.token_bytes(16))


def _tell(args: argparse.Namespace, password: str, code: int) -> int:
    if args.generate and code == EX_OK:
        print(f"Password: {password}")
    return code


def _new_password(args: argparse.Namespace) -> str | None:
    """Return the new password, or None after saying what is wrong with it."""
    if args.generate:
        groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
        return "-".join(groups)
    if args.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = _asked(args.name)
    else:
        print("carteiro: there is no terminal to ask for the password; use --password-stdin or --generate", file=sys.stderr)
        return None
    if not password:
        print("carteiro: no password was given; nothing is changed", file=sys.stderr)
        return None
    if len(password) < _GOOD_LENGTH:
        print(f"warning: a password of fewer than {_GOOD_LENGTH} characters is soon guessed", file=sys.stderr)
    return password


def _asked(name: str) -> str:
    # Only people at a terminal need it.
    import getpass

    first = getpass.getpass(f"New password for {name}: ")
    if first != getpass.getpass("Again: "):
        print("carteiro: the two do not match", file=sys.stderr)
        return ""
    return first
