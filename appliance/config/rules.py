"""What must hold between keys: names that must exist, things that must not be said twice.

Owns every check that needs more than one value. Each complains at the key that a
person would change. Pure.

Sources: RFC 5321 section 4.5.1 (postmaster), section 6.3 (loops).
"""

from collections.abc import Iterator

from appliance.config.addresses import check_addresses
from appliance.config.kinds import split_listen
from appliance.config.problem import KeyPath
from appliance.config.report import Report
from appliance.config.schema import Config
from appliance.model.domain import canonical_domain

__all__ = ["check_rules"]

_WILDCARDS = {"0.0.0.0": 4, "::": 6}  # noqa: S104 - compared with, not bound to
_SEPARATORS = "+-=#."


def check_rules(config: Config, report: Report) -> None:
    """Add to ``report`` whatever is wrong with keys that are each right on their own."""
    if not config.domain:
        report.add(("domain",), 'is missing; write domain = "example.com" with your mail domain', at=())
    _domains(config, report)
    _users(config, report)
    if not report.has(("domain",), ("domains",), ("users",)):
        check_addresses(config, report)
    _listeners(config, report)
    _routes(config, report)
    _smarthost(config, report)
    _rest(config, report)


def _domains(config: Config, report: Report) -> None:
    own = {canonical_domain(domain) for domain in config.mail_domains}
    for index, domain in enumerate(config.relay_domains):
        if canonical_domain(domain) in own:
            report.add(("relay_domains", index), f"{domain} is also one of your own domains; its mail cannot be kept here and passed on")

    relayed = {canonical_domain(domain) for domain in config.relay_domains}
    for index, address in enumerate(config.relay_recipients):
        domain = address.rpartition("@")[2]
        if "@" not in address or canonical_domain(domain) not in relayed:
            report.add(("relay_recipients", index), f"{address} is no address at one of relay_domains, nor @DOMAIN for all of one")


def _users(config: Config, report: Report) -> None:
    names: dict[str, int] = {}
    for index, user in enumerate(config.users):
        first = names.setdefault(user.name, index)
        if user.name and first != index:
            report.add(("users", index, "name"), f"{user.name} is in the file twice; the other is users[{first + 1}]")
        separator = config.mail.plus_separator
        if len(separator) == 1 and separator in user.name:
            report.add(("users", index, "name"), f"{user.name} has the plus_separator {separator} of [mail] in it")


def _listen_keys(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name in ("smtp", "submission", "lmtp", "imap", "pop3", "web"):
        settings = getattr(config, name)
        for key in ("listen", "listen_tls"):
            for index, address in enumerate(getattr(settings, key, ())):
                yield (name, key, index), address


def _listeners(config: Config, report: Report) -> None:
    """Two listeners cannot share a port; port 0 asks the system for a free one."""
    taken: dict[tuple[int, str], tuple[str, KeyPath]] = {}
    for path, address in _listen_keys(config):
        found = split_listen(address)
        if isinstance(found, str):
            continue
        host, port = found
        if port == 0 and not host.startswith("unix:"):
            continue
        family = 6 if ":" in host else 4
        for (other_port, other_host), (other, other_path) in taken.items():
            wild = family in {_WILDCARDS.get(host), _WILDCARDS.get(other_host)} and family == (6 if ":" in other_host else 4)
            if port == other_port and (host == other_host or wild):
                report.add(path, f"{address} is already taken by {other} of {other_path[0]}.{other_path[1]}")
                break
        else:
            taken[port, host] = (address, path)


def _routes(config: Config, report: Report) -> None:
    seen: dict[str, int] = {}
    own = {canonical_domain(domain) for domain in config.mail_domains}
    for index, route in enumerate(config.routes):
        domain = canonical_domain(route.domain)
        first = seen.setdefault(domain, index)
        if domain and first != index:
            report.add(("routes", index, "domain"), f"{route.domain} has a route twice; the other is routes[{first + 1}]")
        if domain in own:
            report.add(("routes", index, "domain"), f"{route.domain} is one of your own domains; its mail stays here")
        _login(("routes", index), route.username, route.password, report)
        if route.use_mx and route.host.startswith("["):
            report.add(("routes", index, "use_mx"), "an address literal has no MX records")


def _login(path: KeyPath, username: str, password: str, report: Report) -> None:
    if password and not username:
        report.add((*path, "password"), "a password without username is of no use", at=(*path, "password"))
    if username and not password:
        report.add((*path, "username"), "a username needs its password")


def _smarthost(config: Config, report: Report) -> None:
    host = config.smarthost
    if host.password and host.password_file:
        report.add(("smarthost", "password_file"), "password is set too; keep one of them")
    _login(("smarthost",), host.username, host.password or host.password_file, report)
    for index, route in enumerate(config.sender_routes):
        _login(("sender_routes", index), route.username, route.password, report)
    if config.relay.delivery in {"relay", "ladder"} and not host.host:
        report.add(("relay", "delivery"), f"{config.relay.delivery} needs [smarthost] host")
    if host.others and not host.host:
        report.add(("smarthost", "host"), "is missing; others stand in for it", at=("smarthost",))
    if host.username and not host.host:
        report.add(("smarthost", "host"), "is missing; a login needs the server it is for", at=("smarthost",))


def _rest(config: Config, report: Report) -> None:
    separator = config.mail.plus_separator
    if separator and (len(separator) != 1 or separator not in _SEPARATORS):
        report.add(("mail", "plus_separator"), f"wanted one of {' '.join(_SEPARATORS)} or nothing")
    tls = config.tls
    if tls.certificate_file and not tls.key_file:
        report.add(("tls", "key_file"), "is missing; certificate_file needs it", at=("tls", "certificate_file"))
    if tls.key_file and not tls.certificate_file:
        report.add(("tls", "certificate_file"), "is missing; key_file needs it", at=("tls", "key_file"))
    oauth = config.oauth
    given = {"issuer": oauth.issuer, "audience": oauth.audience, "keys_file": oauth.keys_file}
    for key in [key for key, value in given.items() if not value] if any(given.values()) else ():
        report.add(("oauth", key), "is missing; issuer, audience and keys_file go together", at=("oauth",))
    folders: dict[str, str] = {}
    for key in ("sent", "drafts", "trash", "junk", "archive"):
        name = getattr(config.mail, key)
        if name and folders.setdefault(name.lower(), key) != key:
            report.add(("mail", key), f"{name} is also the name for {folders[name.lower()]}")
    queue = config.queue
    if queue.max_retry_s < queue.first_retry_s:
        report.add(("queue", "max_retry_s"), f"is less than first_retry_s ({queue.first_retry_s})")
    if queue.lifetime_s < queue.first_retry_s:
        report.add(("queue", "lifetime_s"), f"is less than first_retry_s ({queue.first_retry_s}): nothing would be tried twice")
