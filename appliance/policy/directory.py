"""The address book as the server asks it: what becomes of an address, who may write as whom.

Owns lookups only; it is built from settings that were checked, kept in
memory, and swapped as a whole on reload. The order of a lookup: alias, user, the
same without what follows the plus sign, postmaster and abuse, catch_all. Local
parts ignore case (RFC 5321 section 2.4 allows the owner of a domain to say so).

Fails: never; a dead end is ``Refused``.
Does not: know whether the settings are wise; an alias that leads in a circle
simply loses that way (``config.addresses`` refuses such a file).

Sources: RFC 5321 section 4.5.1 (postmaster), section 4.1.3 (address literals),
RFC 2142 (abuse), RFC 5233 (subaddress), RFC 6532 section 3.1 (NFC), Postfix virtual(5).
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from appliance.model.domain import canonical_domain, canonical_literal
from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable, LocalTarget, NotLocal, Refused, RemoteTarget, Resolution

__all__ = ["ConfigDirectory", "DirectorySettings", "UserSettings"]

_MAX_CACHED = 4_096
_MAX_TARGETS = 10_000
_ROLES = frozenset({"postmaster", "abuse"})
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ELSEWHERE = NotLocal()
_RELAYED = NotLocal(relay_domain=True)


class UserSettings(Protocol):
    """What is needed of a user; ``config.schema.UserConfig`` fits."""

    @property
    def name(self) -> str: ...

    @property
    def addresses(self) -> Sequence[str]: ...


class MailSettings(Protocol):
    @property
    def plus_separator(self) -> str: ...


class DirectorySettings(Protocol):
    """What is needed of the settings; ``config.schema.Config`` fits. Policy and settings do not import each other."""

    @property
    def mail_domains(self) -> Sequence[str]: ...

    @property
    def local_domains(self) -> Sequence[str]: ...

    @property
    def effective_origin(self) -> str: ...

    @property
    def relay_domains(self) -> Sequence[str]: ...

    @property
    def relay_recipients(self) -> Sequence[str]: ...

    @property
    def postmaster(self) -> str: ...

    @property
    def users(self) -> Sequence[UserSettings]: ...

    @property
    def aliases(self) -> Mapping[str, Sequence[str]]: ...

    @property
    def catch_all(self) -> Mapping[str, str]: ...

    @property
    def mail(self) -> MailSettings: ...


class ConfigDirectory:
    """The ``Directory`` port over the settings. ``own_addresses``: IP addresses that literals such as ``ana@[192.0.2.1]`` may name."""

    def __init__(self, config: DirectorySettings, own_addresses: Collection[str] = ("127.0.0.1", "::1")) -> None:
        self._separator = config.mail.plus_separator
        self._origin = config.effective_origin
        self._domains = {canonical_domain(domain) for domain in config.local_domains}
        self._literals = frozenset(own_addresses)
        self._relayed = {canonical_domain(domain) for domain in config.relay_domains}
        self._relay_known: dict[str, set[str]] = {}
        for address in config.relay_recipients:
            local_part, _at, domain = address.rpartition("@")
            self._relay_known.setdefault(canonical_domain(domain), set()).add(local_part.lower())
        self._primary: dict[AccountName, str] = {}
        # Explicit addresses of users, in canonical form.
        self._mailboxes: dict[str, AccountName] = {}
        # Users by name, and those of them that have NAME@ each domain.
        self._accounts: dict[str, AccountName] = {}
        self._everywhere: dict[str, AccountName] = {}
        main = config.mail_domains[0]
        for user in config.users:
            account = AccountName(user.name)
            name = user.name.lower()
            self._accounts[name] = account
            self._primary[account] = user.addresses[0] if user.addresses else f"{user.name}@{main}"
            if user.addresses:
                self._mailboxes |= {self._key(address): account for address in user.addresses}
            else:
                self._everywhere[name] = account
        self._aliases = {self._key(key): tuple(targets) for key, targets in config.aliases.items()}
        self._catch_all = {canonical_domain(domain): target for domain, target in config.catch_all.items()}
        first = next(iter(self._accounts), "")
        self._postmaster = config.postmaster or first
        self._loops: dict[str, bool] = {}
        self._cache: dict[str, Deliverable] = {}

    def resolve(self, address: str) -> Resolution:
        """Say what becomes of a forward-path.

        Shape:    address in wire form, quoted or not -> Resolution; targets in the order of the settings.
        Blocks:   no (pure); 0.2 us for an address seen before.
        """
        cached = self._cache.get(address)
        if cached is not None:
            return cached
        local_part, domain = self._parts(address)
        if domain not in self._domains:
            return self._relayed_address(local_part, domain) if domain in self._relayed else _ELSEWHERE
        plain = _plain_local_part(local_part)
        targets = self._expand(plain, domain)
        own = self._mailbox(plain, domain)
        if own in targets[1:]:
            # A copy to oneself: whose very address it is comes first.
            targets = (own, *(target for target in targets if target != own))
        if not targets:
            return Refused(550, "5.1.1", f"No such address at {domain}; check the spelling")
        found = Deliverable(targets)
        # Only addresses of ours are kept, so that a guessing sender cannot push them out by the thousand for long.
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[address] = found
        return found

    def _relayed_address(self, local_part: str, domain: str) -> Resolution:
        """Say whether a domain that is kept elsewhere has an address, as far as its addresses are known here."""
        known = self._relay_known.get(domain)
        plain = _plain_local_part(local_part).lower()
        base = plain.partition(self._separator)[0] if self._separator else plain
        if known is None or "" in known or plain in known or base in known or plain == "postmaster":
            return _RELAYED
        return Refused(550, "5.1.1", f"No such address at {domain}; check the spelling")

    def mailbox_of(self, address: str) -> LocalTarget | None:
        """Return the mailbox that an already expanded address names; aliases are not asked again, so a copy to oneself ends here."""
        local_part, domain = self._parts(address)
        if domain not in self._domains:
            return None
        return self._mailbox(_plain_local_part(local_part), domain)

    def is_local_domain(self, domain: str) -> bool:
        """Say whether mail for a domain (or address literal) stays here."""
        return self._local_domain(domain) in self._domains

    def account_of_login(self, login: str) -> AccountName | None:
        """Return the account of a login name: a user's name, or any of the user's own addresses; no aliases, no plus."""
        local_part, at, domain = login.strip().rpartition("@")
        if not at:
            return self._accounts.get(login.strip().lower())
        return self._direct(_plain_local_part(local_part), self._local_domain(domain))

    def may_send_as(self, account: AccountName, address: str) -> bool:
        """Say whether the account may use the address: its own, an alias or role that leads to it, any of them with a plus.

        The null reverse-path is everybody's: read receipts and vacation notices have it (RFC 8098 section 2.1).
        """
        if not address:
            return account in self._primary
        mailbox = self.mailbox_of(address)
        if mailbox is not None and mailbox.account == account:
            return True
        found = self.resolve(address)
        return isinstance(found, Deliverable) and any(
            isinstance(target, LocalTarget) and target.account == account for target in found.targets
        )

    def qualify(self, address: str) -> str:
        """Append the origin domain to an address that has none (RFC 5321 section 4.1.1.3: ``<postmaster>``)."""
        return address if not address or "@" in _outside_quotes(address) else f"{address}@{self._origin}"

    def primary_address(self, account: AccountName) -> str:
        """Return the address that an account writes from. Raises KeyError for an account that is not there."""
        return self._primary[account]

    def accounts(self) -> tuple[AccountName, ...]:
        return tuple(self._primary)

    def _parts(self, address: str) -> tuple[str, str]:
        """Return local part as it came and domain in canonical form; the origin's where there is none."""
        local_part, at, domain = address.rpartition("@")
        if not at or domain.endswith('"'):
            return address, canonical_domain(self._origin)
        return local_part, self._local_domain(domain)

    def _local_domain(self, domain: str) -> str:
        """Return the domain in canonical form, an address literal of this machine as its first own domain."""
        if domain.startswith("["):
            literal = canonical_literal(domain)
            return canonical_domain(self._origin) if literal in self._literals else domain
        return canonical_domain(domain)

    def _key(self, address: str) -> str:
        local_part, at, domain = address.rpartition("@")
        if not at:
            return _plain_local_part(address)
        return f"{_plain_local_part(local_part)}@{self._local_domain(domain)}"

    def _direct(self, local_part: str, domain: str) -> AccountName | None:
        """Return the user whose very address this is."""
        account = self._mailboxes.get(f"{local_part}@{domain}")
        if account is None and domain in self._domains:
            account = self._everywhere.get(local_part)
        return account

    def _mailbox(self, local_part: str, domain: str) -> LocalTarget | None:
        account = self._direct(local_part, domain)
        if account is not None:
            return LocalTarget(account)
        base, detail = self._split(local_part)
        account = self._direct(base, domain) if detail else None
        return LocalTarget(account, detail) if account is not None else None

    def _split(self, local_part: str) -> tuple[str, str]:
        """Split at the first separator (RFC 5233 section 4); a leading one separates nothing."""
        if not self._separator:
            return local_part, ""
        base, _, detail = local_part.partition(self._separator)
        return (base, detail) if base else (local_part, "")

    def _alias_key(self, local_part: str, domain: str) -> str | None:
        full = f"{local_part}@{domain}"
        if full in self._aliases:
            return full
        return local_part if local_part in self._aliases else None

    def _expand(self, local_part: str, domain: str) -> tuple[LocalTarget | RemoteTarget, ...]:
        """Follow aliases breadth first. One that leads back to itself means the user of its name as well: a copy to oneself."""
        entered: dict[str, _Stop] = {}
        found = self._walk([_Stop(local_part, domain)], entered)
        for key, stop in entered.items():
            account = self._account_at(stop)
            if account is not None and self._leads_back(key):
                found[LocalTarget(account, stop.detail)] = None
        return tuple(found)

    def _walk(self, waiting: "list[_Stop]", entered: "dict[str, _Stop]") -> dict[LocalTarget | RemoteTarget, None]:
        """Return the ends of all ways, in order. ``entered`` takes each alias once, with the address that met it first."""
        found: dict[LocalTarget | RemoteTarget, None] = {}
        for stop in waiting:
            if len(waiting) > _MAX_TARGETS:
                break
            step = self._step(stop, entered)
            if isinstance(step, LocalTarget | RemoteTarget):
                found[step] = None
            else:
                waiting.extend(step)
        return found

    def _leads_back(self, key: str) -> bool:
        """Say whether an alias is among what it leads to."""
        known = self._loops.get(key)
        if known is None:
            entered: dict[str, _Stop] = {}
            self._walk([self._target(target, "") for target in self._aliases.get(key, ())], entered)
            known = self._loops[key] = key in entered
        return known

    def _account_at(self, stop: "_Stop") -> AccountName | None:
        return self._direct(stop.local_part, stop.domain) if stop.domain else self._accounts.get(stop.local_part)

    def _step(self, stop: "_Stop", entered: "dict[str, _Stop]") -> "LocalTarget | RemoteTarget | list[_Stop]":
        """Take one address a step on: to its end, or to the targets of its alias."""
        if stop.domain and stop.domain not in self._domains:
            return RemoteTarget(f"{stop.local_part}@{stop.domain}")
        key = self._alias_key(stop.local_part, stop.domain)
        if key is not None:
            return self._follow(stop, key, self._aliases[key], entered)
        account = self._account_at(stop)
        if account is not None:
            return LocalTarget(account, stop.detail)
        base, detail = self._split(stop.local_part)
        if detail:
            return [replace(stop, local_part=base, detail=detail)]
        if not stop.domain:
            # A bare target that no user or alias has by name: the address at the origin.
            return [replace(stop, domain=canonical_domain(self._origin))]
        return self._last_resorts(replace(stop, detail=""), entered)

    def _last_resorts(self, stop: "_Stop", entered: "dict[str, _Stop]") -> "list[_Stop]":
        # The keys of roles and catch_all have a character that no alias can have.
        if stop.local_part in _ROLES and self._postmaster:
            return self._follow(stop, "\0role", (self._postmaster,), entered)
        target = self._catch_all.get(stop.domain)
        return [] if target is None else self._follow(stop, f"\0{stop.domain}", (target,), entered)

    def _follow(self, stop: "_Stop", key: str, targets: Sequence[str], entered: "dict[str, _Stop]") -> "list[_Stop]":
        if key in entered:
            return []
        entered[key] = stop
        return [self._target(target, stop.detail) for target in targets]

    def _target(self, target: str, detail: str) -> "_Stop":
        local_part, at, domain = target.rpartition("@")
        if not at:
            return _Stop(_plain_local_part(target), "", detail)
        canonical = self._local_domain(domain)
        # An address elsewhere keeps its spelling: only its owner may ignore case (RFC 5321 section 2.4).
        return _Stop(_plain_local_part(local_part) if canonical in self._domains else local_part, canonical, detail)


@dataclass(frozen=True, slots=True)
class _Stop:
    """An address on the way through the aliases; no ``domain``: a bare name."""

    local_part: str
    domain: str
    detail: str = ""


def _plain_local_part(local_part: str) -> str:
    """Return a local part without quotes, in lower case, in NFC: the form in which ours are compared."""
    if local_part.startswith('"') and local_part.endswith('"') and len(local_part) > 1:
        local_part = _QUOTED_PAIR.sub(r"\1", local_part[1:-1])
    if local_part.isascii():
        return local_part.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local_part).lower())


def _outside_quotes(address: str) -> str:
    """Return what of an address cannot be inside a quoted local part."""
    return address.rpartition('"')[2] if address.startswith('"') else address
