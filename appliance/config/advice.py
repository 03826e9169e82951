"""What is allowed and yet unwise: told by ``carteiro check`` and at start, never an error. Pure.

Sources: RFC 8314 section 3 (TLS for logins), RFC 5321 section 4.5.3.1 (least sizes
that a server must take), the ways in which servers become open relays.
"""

import ipaddress

from appliance.config.kinds import split_listen
from appliance.config.problem import KeyPath
from appliance.config.schema import Config

__all__ = ["advice"]

_LEAST_MESSAGE_BYTES = 65_536
_LEAST_RECIPIENTS = 100
_WIDE_PREFIX = {4: 16, 6: 48}


def advice(config: Config) -> list[tuple[KeyPath, str]]:
    """Return key and sentence of each unwise setting."""
    return [*_users(config), *_networks(config), *_passwords_in_clear(config), *_sizes(config), *_web(config)]


def _users(config: Config) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    if not config.users:
        found.append((("users",), "there is no user, so nobody can get or send mail; run carteiro user add NAME"))
    for index, user in enumerate(config.users):
        if user.password.startswith("{PLAIN}"):
            message = f"{user.name}'s password stands in the file as it is; run carteiro user passwd {user.name}"
            found.append((("users", index, "password"), message))
        elif not user.password:
            found.append((("users", index), f"{user.name} has no password and cannot log in; run carteiro user passwd {user.name}"))
    return found


def _networks(config: Config) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    for index, text in enumerate(config.trusted_networks):
        network = ipaddress.ip_network(text)
        if not network.is_private and network.prefixlen < _WIDE_PREFIX[network.version]:
            found.append((("trusted_networks", index), f"{text} holds many machines of strangers; each of them may send spam through here"))
    return found


def _passwords_in_clear(config: Config) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    clear = "sends the password where others can read it; use verify"
    if config.smarthost.username and config.smarthost.tls in {"none", "may"}:
        found.append((("smarthost", "tls"), f"{config.smarthost.tls} {clear}"))
    for index, route in enumerate(config.routes):
        if route.username and route.tls in {"none", "may"}:
            found.append((("routes", index, "tls"), f"{route.tls} {clear}"))
    if not config.submission.require_tls:
        found.append((("submission", "require_tls"), "people's passwords may cross the network where others can read them"))
    return found


def _sizes(config: Config) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    for path, value in (
        (("smtp", "max_message_bytes"), config.smtp.max_message_bytes),
        (("submission", "max_message_bytes"), config.submission.max_message_bytes),
    ):
        if value < _LEAST_MESSAGE_BYTES:
            found.append((path, f"every mail server must take messages of {_LEAST_MESSAGE_BYTES:_} (RFC 5321 section 4.5.3.1.7)"))
    if config.smtp.max_recipients < _LEAST_RECIPIENTS:
        found.append((("smtp", "max_recipients"), f"senders may count on {_LEAST_RECIPIENTS} (RFC 5321 section 4.5.3.1.8)"))
    return found


def _web(config: Config) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    for index, text in enumerate(config.web.listen):
        address = split_listen(text)
        if isinstance(address, tuple) and address[0] not in {"localhost", "::1"} and not address[0].startswith(("127.", "unix:")):
            found.append((("web", "listen", index), f"{text} shows the status page to other machines; it asks for no login"))
    return found
