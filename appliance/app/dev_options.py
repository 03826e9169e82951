"""The options of ``carteiro dev``, and the environment that other catchers are set up with.

Owns the options, their names in Mailpit's environment and what they amount to. The
command line wins over the environment.

Fails: argparse.ArgumentTypeError for a value that is wrong, OptionError for values that do not go together.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.policy.caught_release import ReleaseRules, RuleError, address_rule, any_rule

if TYPE_CHECKING:
    from appliance.app.catching import CatcherOptions, RelayOptions
    from appliance.services.catcher.webhook import WebhookOptions

__all__ = ["PORTS", "OptionError", "add_arguments", "catcher_options", "listen_on"]

PORTS: Final = {"smtp": 1025, "pop3": 1110, "imap": 1143, "http": 8025}
_BOUND: Final = {"smtp": "MP_SMTP_BIND_ADDR", "http": "MP_UI_BIND_ADDR", "pop3": "MP_POP3_BIND_ADDR"}
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_HOST: Final = "127.0.0.1"
_MAX_FILE_BYTES: Final = 65_536


class OptionError(Exception):
    """Options that do not go together, or a file that cannot be read."""


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ) -> None:
    """Add every option; the environment gives the defaults."""
    get = environment.get
    parser.set_defaults(environment=dict(environment))
    parser.add_argument("--host", help=f"address to listen on (default: {_HOST}, this machine alone; MP_SMTP_BIND_ADDR, MP_UI_BIND_ADDR)")
    for name, port in PORTS.items():
        parser.add_argument(f"--{name}-port", type=_port, metavar="N", help=f"port for {name.upper()} (default: {port}; 0: any free one)")
    parser.add_argument("--data", metavar="DIR", help="keep mail in this directory (default: a temporary one, removed at the end)")
    parser.add_argument(
        "--keep", "--max-messages", dest="max_messages", type=_count, default=get("MP_MAX_MESSAGES", "10000"), metavar="N",
        help="keep the latest N messages (default: 10,000; 0: all; MP_MAX_MESSAGES)",
    )  # fmt: skip
    parser.add_argument(
        "--max-age", type=_duration, default=get("MP_MAX_AGE", "0"), metavar="TIME",
        help="delete messages after 30m, 12h, 7d ... (default: never; MP_MAX_AGE)",
    )  # fmt: skip
    parser.add_argument("--keep-days", dest="max_age", type=_days, metavar="N", help="delete messages after N days: --max-age in days")
    parser.add_argument(
        "--inbox-by", choices=("user", "recipient", "domain"), default="",
        help="an inbox of its own, with its own IMAP and POP3 login, for each SMTP login, recipient or domain (default: one for all)",
    )  # fmt: skip
    parser.add_argument(
        "--without", type=_extensions, default=frozenset(), metavar="NAMES",
        help="SMTP extensions that are not offered, separated by commas: CHUNKING,8BITMIME, AUTH=CRAM-MD5, EHLO for none at all",
    )  # fmt: skip
    parser.add_argument(
        "--dns", metavar="FILE", help="judge messages (SPF, DKIM, DMARC, ARC) by the DNS records of this JSON file (default: DNS is off)"
    )
    _add_web(parser, get)
    _add_relay(parser, get)
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="warning", help="default: %(default)s")
    parser.add_argument("--log-format", choices=("logfmt", "json"), default="logfmt", help="default: %(default)s")


def _add_web(parser: argparse.ArgumentParser, get: Callable[..., str]) -> None:
    group = parser.add_argument_group("the page and the interfaces")
    group.add_argument(
        "--http-auth",
        action="append",
        metavar="USER:PASSWORD|FILE",
        help="ask for this login; a file has one in each line (MP_UI_AUTH, MP_UI_AUTH_FILE)",
    )
    group.add_argument("--http-token", action="append", metavar="TOKEN|FILE", help="take `Authorization: Bearer TOKEN` as well")
    group.add_argument("--cors", action="append", metavar="ORIGIN", help="pages from there may ask, * for all (MP_API_CORS)")
    group.add_argument(
        "--webroot", type=_root, default=get("MP_WEBROOT", "/"), metavar="PATH", help="everything lies under this path (MP_WEBROOT)"
    )
    group.add_argument("--label", default=get("MP_LABEL", ""), metavar="TEXT", help="what this catcher is called (MP_LABEL)")
    group.add_argument(
        "--webhook", default=get("MP_WEBHOOK_URL", ""), metavar="URL", help="POST each message's summary there (MP_WEBHOOK_URL)"
    )
    group.add_argument(
        "--webhook-pause", type=_duration, default=get("MP_WEBHOOK_LIMIT", "0"), metavar="TIME",
        help="leave out messages that come so soon after the last (default: tell of all; MP_WEBHOOK_LIMIT)",
    )  # fmt: skip
    group.add_argument("--webhook-private", action="store_true", help="the webhook's name may lead to a private address")


def _add_relay(parser: argparse.ArgumentParser, get: Callable[..., str]) -> None:
    group = parser.add_argument_group("mail that leaves (without --relay, none does)")
    host, port = get("MP_SMTP_RELAY_HOST", ""), get("MP_SMTP_RELAY_PORT", "")
    group.add_argument(
        "--relay",
        default=f"{host}:{port}" if host and port else host,
        metavar="HOST[:PORT]",
        help="release messages to this server (MP_SMTP_RELAY_HOST)",
    )
    group.add_argument("--relay-tls", choices=("none", "may", "encrypt", "verify", "implicit"), help="TLS towards it (default: may)")
    group.add_argument(
        "--relay-user", default=get("MP_SMTP_RELAY_USERNAME", ""), metavar="NAME", help="login there (MP_SMTP_RELAY_USERNAME)"
    )
    group.add_argument("--relay-password-file", metavar="FILE", help="its first line is the password there (MP_SMTP_RELAY_PASSWORD)")
    group.add_argument(
        "--relay-allow", action="append", metavar="PATTERN", help="release to these addresses only: *@example.com, example.com"
    )
    group.add_argument("--relay-block", action="append", metavar="PATTERN", help="never release to these addresses")
    group.add_argument(
        "--forward",
        action="append",
        metavar="PATTERN",
        help="deliver what is for these addresses at once, and keep a copy: example.com, ana@example.net",
    )
    group.add_argument(
        "--relay-return-path",
        default=get("MP_SMTP_RELAY_RETURN_PATH", ""),
        metavar="ADDRESS",
        help="the envelope sender of all that leaves",
    )
    group.add_argument(
        "--relay-from", default=get("MP_SMTP_RELAY_OVERRIDE_FROM", ""), metavar="ADDRESS", help="the From address of all that leaves"
    )
    group.add_argument(
        "--relay-new-ids", action="store_true", help="give what leaves a new Message-ID (default: it leaves as it came, without Bcc)"
    )


# Values


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


def _days(text: str) -> float:
    return float(_count(text) * _UNITS["d"])


def _extensions(text: str) -> frozenset[str]:
    from appliance.protocols.smtp.extensions import extension_names

    try:
        return extension_names(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _root(text: str) -> str:
    path = f"/{text.strip('/')}/".replace("//", "/")
    if any(not (character.isalnum() or character in "/-_.~") for character in path) or ".." in path:
        raise argparse.ArgumentTypeError(f"{text} is no path: letters, digits, - _ . ~ and /")
    return path


# What they amount to


def listen_on(args: argparse.Namespace, name: str) -> str:
    """Return the address and port that a protocol listens on."""
    port, bound = getattr(args, f"{name}_port"), args.environment.get(_BOUND.get(name, ""), "")
    host, _, bound_port = bound.rpartition(":")
    if args.host is not None or not host:
        host = args.host or _HOST
        host = f"[{host}]" if ":" in host else host
    if port is None:
        port = bound_port if bound_port.isdecimal() else PORTS[name]
    return f"{host}:{port}"


def catcher_options(args: argparse.Namespace) -> "CatcherOptions":
    """Return what the catcher is told. Raises OptionError."""
    from appliance.app.catching import CatcherOptions

    return CatcherOptions(
        keep=args.max_messages,
        max_age_s=args.max_age or 0.0,
        inbox_by=args.inbox_by,
        without=args.without,
        logins=_logins(args),
        tokens=tuple(token for text in args.http_token or () for token in _lines(text)),
        origins=tuple(args.cors or [one.strip() for one in args.environment.get("MP_API_CORS", "").split(",") if one.strip()]),
        root=args.webroot,
        label=args.label,
        relay=_relay(args),
        webhook=_webhook(args),
        records=_records(args.dns) if args.dns else None,
    )


def _records(name: str) -> object:
    """Return the records of a file. Raises OptionError."""
    import json

    from appliance.app.check_message import RecordsFile

    try:
        records: object = json.loads(Path(name).read_text("utf-8"))
        RecordsFile(records)
    except (OSError, ValueError) as error:
        raise OptionError(f"--dns {name}: {error}") from error
    return records


def _lines(text: str) -> list[str]:
    """Return the lines of a file, or the text itself where there is no such file."""
    path = Path(text)
    try:
        if not path.is_file():
            return [text]
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise OptionError(f"{text} is too large for a list of logins")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise OptionError(f"{text}: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _logins(args: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    given = args.http_auth or [*args.environment.get("MP_UI_AUTH", "").split(), *args.environment.get("MP_UI_AUTH_FILE", "").split()]
    logins: list[tuple[str, str]] = []
    for line in [line for text in given for line in _lines(text)]:
        user, separator, password = line.partition(":")
        if not (separator and user and password):
            raise OptionError("a login is USER:PASSWORD, or a file that has them")
        if password.startswith(("$2", "$apr1$", "{SHA}")):
            raise OptionError(f"the password of {user} is hashed: plain words are wanted, this is a tool of developers")
        logins.append((user, password))
    return tuple(logins)


def _webhook(args: argparse.Namespace) -> "WebhookOptions | None":
    if not args.webhook:
        return None
    from appliance.net.http_client import target_of
    from appliance.services.catcher.webhook import WebhookOptions

    try:
        target_of(args.webhook)
    except ValueError as error:
        raise OptionError(f"--webhook {error}") from error
    return WebhookOptions(url=args.webhook, pause_s=args.webhook_pause, private=args.webhook_private, label=args.label)


def _relay(args: argparse.Namespace) -> "RelayOptions | None":
    if not args.relay:
        if args.forward:
            raise OptionError("--forward needs --relay HOST[:PORT]: where to")
        return None
    from appliance.app.catching import RelayOptions
    from appliance.model.domain import canonical_domain
    from appliance.model.routing import NextHop, TlsLevel

    host, separator, port = args.relay.rpartition(":") if not args.relay.endswith("]") else (args.relay, "", "")
    if not separator:
        host, port = args.relay, "25"
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise OptionError(f"--relay {args.relay}: HOST or HOST:PORT is wanted")
    if host.replace(".", "").isdecimal():
        host = f"[{host}]"
    hop = NextHop(
        canonical_domain(host), int(port), use_mx=False, tls=TlsLevel(_tls(args)), username=args.relay_user, password=_password(args)
    )
    return RelayOptions(hop=hop, server=f"{host.strip('[]')}:{port}", rules=_rules(args))


def _tls(args: argparse.Namespace) -> str:
    if args.relay_tls:
        return str(args.relay_tls)
    get = args.environment.get
    is_checked = not _is_on(get("MP_SMTP_RELAY_ALLOW_INSECURE", ""))
    if _is_on(get("MP_SMTP_RELAY_TLS", "")):
        return "implicit"
    return ("verify" if is_checked else "encrypt") if _is_on(get("MP_SMTP_RELAY_STARTTLS", "")) else "may"


def _is_on(text: str) -> bool:
    return text.strip().lower() in {"1", "true", "yes", "on"}


def _password(args: argparse.Namespace) -> str:
    lines = _lines(args.relay_password_file) if args.relay_password_file else [args.environment.get("MP_SMTP_RELAY_PASSWORD", "")]
    return lines[0] if lines else ""


def _rules(args: argparse.Namespace) -> ReleaseRules:
    get = args.environment.get
    forward = [address_rule(one) for one in args.forward or ()]
    if not forward:
        forward = [".*"] if _is_on(get("MP_SMTP_RELAY_ALL", "")) else [one for one in [get("MP_SMTP_RELAY_MATCHING", "")] if one]
    allow = [address_rule(one) for one in args.relay_allow or ()] or [one for one in [get("MP_SMTP_RELAY_ALLOWED_RECIPIENTS", "")] if one]
    block = [address_rule(one) for one in args.relay_block or ()] or [one for one in [get("MP_SMTP_RELAY_BLOCKED_RECIPIENTS", "")] if one]
    keep = get("MP_SMTP_RELAY_PRESERVE_MESSAGE_IDS", "true")
    try:
        return ReleaseRules(
            allow=any_rule(allow),
            block=any_rule(block),
            forward=any_rule(forward),
            return_path=args.relay_return_path,
            override_from=args.relay_from,
            keep_message_id=not args.relay_new_ids and _is_on(keep),
        )
    except RuleError as error:
        raise OptionError(f"rule {error}") from error
