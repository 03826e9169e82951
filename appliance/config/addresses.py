"""Checks the address book: users' addresses, aliases, catch_all and postmaster must lead somewhere, and not in a circle.

The same lookups as ``policy.directory`` makes at run time, only that here a
dead end has a name and a line.

Sources: Postfix aliases(5) and virtual(5); RFC 5321 section 4.5.1.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from appliance.config.kinds import mail_address
from appliance.config.problem import KeyPath
from appliance.config.report import Report
from appliance.config.schema import Config
from appliance.model.domain import canonical_domain

__all__ = ["check_addresses"]

_ROLES = frozenset({"postmaster", "abuse"})


def check_addresses(config: Config, report: Report) -> None:
    """Add to ``report`` what is wrong with addresses. Users and domains must be right already."""
    book = _Book(config, report)
    book.check_users()
    book.check_aliases()
    book.check_catch_all()
    book.check_postmaster()
    book.check_loops()


class _Book:
    def __init__(self, config: Config, report: Report) -> None:
        self._config = config
        self._report = report
        self._domains = {canonical_domain(domain) for domain in config.local_domains}
        self._names = {user.name for user in config.users}
        self._everywhere = {user.name for user in config.users if not user.addresses}
        self._addresses: dict[str, str] = {}
        self._aliases = {_canonical(key): key for key in config.aliases}
        self._catch_all = {canonical_domain(domain): target for domain, target in config.catch_all.items()}

    def check_users(self) -> None:
        for index, user in enumerate(self._config.users):
            for position, address in enumerate(user.addresses):
                path = ("users", index, "addresses", position)
                key = _canonical(address)
                owner = self._addresses.setdefault(key, user.name)
                if not self._is_local(key):
                    self._report.add(path, f"the domain of {address} is not among your domains; add it to domains")
                elif owner != user.name:
                    self._report.add(path, f"{address} already belongs to {owner}; use [aliases] to send mail to several users")

    def check_aliases(self) -> None:
        seen: dict[str, str] = {}
        for key, targets in self._config.aliases.items():
            path = ("aliases", key)
            canonical = _canonical(key)
            problem = mail_address(key if "@" in key else f"{key}@localhost")
            if problem:
                self._report.add(path, f"{key!r} is neither an address nor the part before its @")
            elif "@" in key and not self._is_local(canonical):
                self._report.add(path, f"the domain of {key} is not among your domains; add it to domains")
            elif seen.setdefault(canonical, key) != key:
                self._report.add(path, f"{key} and {seen[canonical]} are the same address")
            elif not targets:
                self._report.add(path, "leads to nobody; write at least one user or address, or remove it")
            for position, target in enumerate(targets):
                self._check_target((*path, position), target)

    def check_catch_all(self) -> None:
        for domain, target in self._config.catch_all.items():
            if canonical_domain(domain) not in self._domains:
                hint = self._report.alike(domain, self._config.mail_domains)
                self._report.add(("catch_all", domain), f"{domain} is not among your domains{hint}")
            self._check_target(("catch_all", domain), target, catch_all=False)

    def check_postmaster(self) -> None:
        """RFC 5321 section 4.5.1: a server that takes mail must take it for postmaster."""
        if self._config.postmaster:
            self._check_target(("postmaster",), self._config.postmaster, catch_all=False, roles=False)

    def _is_local(self, canonical: str) -> bool:
        return canonical.rpartition("@")[2] in self._domains

    def _check_target(self, path: KeyPath, target: str, *, catch_all: bool = True, roles: bool = True) -> None:
        problem = mail_address(target if "@" in target else f"{target}@localhost")
        if problem:
            self._report.add(path, f"{target!r} is neither a user, an alias nor a full address")
            return
        canonical = _canonical(target)
        if "@" in canonical and not self._is_local(canonical):
            return
        local_part, _, domain = canonical.partition("@")
        known = self._knows(canonical) or (roles and local_part in _ROLES and bool(self._names or self._config.postmaster))
        if not known and not (catch_all and domain and domain in self._catch_all):
            hint = self._report.alike(target, chain((user.name for user in self._config.users), self._config.aliases))
            self._report.add(path, f"{target} is neither a user nor an alias here{hint}")

    def _knows(self, canonical: str) -> bool:
        if self._alias_of(canonical) is not None or self._user_of(canonical) is not None:
            return True
        local_part, at, domain = canonical.partition("@")
        base, plus, _ = local_part.partition(self._config.mail.plus_separator or "\0")
        return bool(plus and base) and self._knows(base + at + domain)

    def _alias_of(self, canonical: str) -> str | None:
        """Return the canonical key of the alias that an address of ours, or a bare name, meets first."""
        local_part, at, _ = canonical.partition("@")
        if at and not self._is_local(canonical):
            return None
        full = canonical if at else f"{canonical}@{canonical_domain(self._config.effective_origin)}"
        candidates = (full, local_part) if at else (local_part, full)
        return next((key for key in candidates if key in self._aliases), None)

    def _user_of(self, canonical: str) -> str | None:
        local_part, at, domain = canonical.partition("@")
        if not at:
            return local_part if local_part in self._names else None
        explicit = self._addresses.get(canonical)
        if explicit is not None:
            return explicit
        return local_part if local_part in self._everywhere and domain in self._domains else None

    def check_loops(self) -> None:
        """A way back to an alias is fine if a user of that name is there to take the mail (``ana = ["ana", "bob"]``)."""
        told: set[str] = set()
        ways = {key: self._next_aliases(key) for key in self._aliases}
        # Two passes leave the circles and what joins them, so that thousands of aliases in long chains cost no thousands of searches.
        ways = _without_ends(ways, _turned(ways))
        ways = _turned(_without_ends(_turned(ways), ways))
        for key in self._aliases:
            if key in told or key not in ways or self._user_of(key) is not None:
                continue
            way = _way_back(key, ways)
            if way:
                told.update(way)
                names = [self._aliases[each] for each in way]
                text = " -> ".join([*names, names[0]])
                self._report.add(("aliases", names[0]), f"leads back to itself, and no user {names[0]} is there to take the mail: {text}")

    def _next_aliases(self, key: str) -> list[str]:
        targets = [_canonical(target) for target in self._config.aliases[self._aliases[key]]]
        return [found for target in targets if (found := self._alias_behind(target)) is not None]

    def _alias_behind(self, canonical: str) -> str | None:
        """Return the alias that a target meets in the end: at once, without its plus, as a role or through catch_all."""
        tried: set[str] = set()
        while canonical not in tried:
            tried.add(canonical)
            alias = self._alias_of(canonical)
            if alias is not None or self._user_of(canonical) is not None:
                return alias
            local_part, at, domain = canonical.partition("@")
            base, plus, _ = local_part.partition(self._config.mail.plus_separator or "\0")
            if plus and base:
                canonical = base + at + domain
            elif not at:
                canonical = f"{local_part}@{canonical_domain(self._config.effective_origin)}"
            elif self._is_local(canonical):
                canonical = _canonical(self._last_resort(local_part, domain))
        return None

    def _last_resort(self, local_part: str, domain: str) -> str:
        """Return the target of a role or of catch_all; the address itself when there is neither."""
        if local_part in _ROLES:
            return self._config.postmaster or next((user.name for user in self._config.users), f"{local_part}@{domain}")
        return self._catch_all.get(domain, f"{local_part}@{domain}")


def _turned(ways: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the same ways from their other ends."""
    turned: dict[str, list[str]] = {key: [] for key in ways}
    for key, following in ways.items():
        for each in following:
            turned[each].append(key)
    return turned


def _without_ends(ways: Mapping[str, Sequence[str]], turned: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the ways between aliases that lead on for ever; what comes to an end lies on no circle."""
    left = {key: sum(each in ways for each in following) for key, following in ways.items()}
    ends = [key for key, count in left.items() if not count]
    for end in ends:
        for each in turned[end]:
            if each in left:
                left[each] -= 1
                if not left[each]:
                    ends.append(each)
    circling = left.keys() - ends
    return {key: [each for each in ways[key] if each in circling] for key in ways if key in circling}


def _way_back(start: str, ways: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the shortest chain of aliases from one back to itself, or nothing."""
    came_from: dict[str, str] = {}
    waiting = [start]
    for current in waiting:
        for following in ways[current]:
            if following == start:
                way = [current]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if following not in came_from:
                came_from[following] = current
                waiting.append(following)
    return []


def _canonical(address: str) -> str:
    """Return address or bare name in the form in which they are compared; local parts here ignore case, as everywhere in practice."""
    local_part, at, domain = address.rpartition("@")
    return f"{local_part.lower()}@{canonical_domain(domain)}" if at else address.lower()
