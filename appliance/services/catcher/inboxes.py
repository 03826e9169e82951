"""Inboxes with settings of their own: who may read them, how much they keep and how long, what goes wrong in them, when they end.

Owns the settings, in memory and in the store. An inbox that only holds what a
rule sorts into it has none until somebody gives it some.

Fails: InboxError for values that cannot be; nothing is changed then.
Does not: take the mail directory away with an inbox; it is left empty.
"""

import hmac
import json
import re
import secrets
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import trio

from appliance.model.caught import CaughtEnvelope, Term
from appliance.model.ids import AccountName
from appliance.policy.caught_faults import Faults
from appliance.policy.caught_inbox import EVERYBODY, InboxRule, account_of_inbox, inbox_name, inbox_of
from appliance.policy.caught_profile import ProfileError, change_profile, profile_of
from appliance.services.catcher.engine import Catcher, Retention

__all__ = ["InboxError", "InboxSettings", "InboxTakenError", "Inboxes"]

MOST_INBOXES: Final = 10_000
_MAX_SECRET: Final = 200
_MAX_KEEP: Final = 10_000_000
_MAX_S: Final = 3_153_600_000.0
_NUMBERS: Final = {"keep": _MAX_KEEP, "max_age_s": _MAX_S}
_SECRETS: Final = ("password", "token")
_RETRY_S: Final = 30.0
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class InboxError(ValueError):
    """A name or a value that cannot be."""


class InboxTakenError(InboxError):
    """There is an inbox of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSettings:
    """``password``: for IMAP and POP3, ``""`` for any. ``token``: for our own interface, ``""`` for none.

    ``keep``, ``max_age_s``: as ``Retention`` has them. ``ends_at_s``: when the inbox goes, with all that is in it; 0 for never.
    """

    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    keep: int = 0
    max_age_s: float = 0.0
    ends_at_s: float = 0.0


class Inboxes:
    """Those that were made. ``make_faults``: an empty profile. ``load`` before anything else."""

    def __init__(self, catcher: Catcher, make_faults: Callable[[], Faults], rule: InboxRule = "") -> None:
        self.rule = rule
        self._catcher = catcher
        self._make_faults = make_faults
        self._known: dict[str, InboxSettings] = {}
        self._faults: dict[str, Faults] = {}
        self._changed = trio.Event()
        # A change that began before a removal would bring the inbox back after it.
        self._changing = trio.Lock()

    def load(self) -> None:
        """Read what an earlier run left. Blocks: disk."""
        for name, text in self._catcher.store.inbox_settings().items():
            values = json.loads(text)
            self._faults[name] = self._make_faults()
            change_profile(self._faults[name], values.pop("faults"))
            self._known[name] = InboxSettings(**values)
        self._set_retention()

    @property
    def made(self) -> Container[str]:
        return self._known.keys()

    @property
    def names(self) -> list[str]:
        return sorted(self._known)

    def settings(self, name: str) -> InboxSettings | None:
        return self._known.get(name)

    def faults(self, name: str) -> Faults | None:
        return self._faults.get(name)

    def no_faults(self) -> Faults:
        """Return the profile of an inbox that has none."""
        return self._make_faults()

    # What others ask

    def of_envelope(self, envelope: CaughtEnvelope) -> str:
        """Return the inbox of a message."""
        return inbox_of(self.rule, envelope, self._known)

    def profile(self, login: str, recipient: str) -> Faults | None:
        """See ``policy.caught_session.FindProfile``."""
        if not self._known:
            return None
        return self._faults.get(self.of_envelope(CaughtEnvelope(recipients=(recipient,) if recipient else (), username=login)))

    def account_of(self, login: str, password: str) -> AccountName | None:
        """Return whose mail a login reads; None for a password that is wrong."""
        name = inbox_name(login)
        settings = self._known.get(name)
        if settings is None:
            return account_of_inbox(name) if self.rule else EVERYBODY
        if settings.password and not _same(password, settings.password):
            return None
        return account_of_inbox(name)

    def of_token(self, token: str) -> str | None:
        """Return the inbox that a token opens."""
        found = [name for name, settings in self._known.items() if settings.token and _same(token, settings.token)]
        return found[0] if found else None

    # Changes

    async def make(self, given: object) -> str:
        """Make an inbox and return its name: the one that is wanted, or a new one. Raises InboxError. Durable at return."""
        values = _table(given)
        is_named = "name" in values
        wanted = values.pop("name", "")
        if not isinstance(wanted, str):
            raise InboxError("name: text")
        name = inbox_name(wanted) if is_named else f"run-{secrets.token_hex(6)}"
        if not name or (is_named and name != wanted.lower()):
            raise InboxError(f"name: letters, digits and . _ @ + - between, 64 at most, and not {EVERYBODY}")
        async with self._changing:
            if name in self._known:
                raise InboxTakenError(f"there is an inbox {name}")
            if len(self._known) >= MOST_INBOXES:
                raise InboxError("there are too many inboxes")
            await self._change(name, InboxSettings(), values)
        return name

    async def change(self, name: str, given: object) -> None:
        """Set what is named, leave the rest; an inbox that a rule made has settings from then on. Raises InboxError. Durable at return."""
        async with self._changing:
            await self._change(name, self._known.get(name) or InboxSettings(), _table(given))

    async def _change(self, name: str, settings: InboxSettings, values: dict[str, Any]) -> None:
        faults = self._make_faults()
        try:
            change_profile(faults, profile_of(self._faults.get(name) or faults))
            change_profile(faults, values.pop("faults", {}))
        except ProfileError as error:
            raise InboxError(f"faults: {error}") from None
        settings = replace(settings, **_settings(values, self._catcher.clock.now_s()))
        text = json.dumps(asdict(settings) | {"faults": profile_of(faults)})
        await self._catcher.offload.run(self._catcher.store.set_inbox, name, text)
        self._known[name] = settings
        # Sessions that are under way hold the profile: it is changed, not replaced.
        change_profile(self._faults.setdefault(name, faults), profile_of(faults))
        self._set_retention()
        self._changed.set()

    async def remove(self, name: str) -> int:
        """Delete an inbox with all that is in it; return how many messages that were."""
        catcher = self._catcher
        async with self._changing:
            self._known.pop(name, None)
            self._faults.pop(name, None)
            self._set_retention()
            await catcher.offload.run(catcher.store.set_inbox, name, "")
        await catcher.settled()
        ids = await catcher.offload.run(catcher.store.find, [Term("inbox", name)])
        return await catcher.delete(ids) if ids else 0

    def _set_retention(self) -> None:
        self._catcher.retentions = {
            name: Retention(keep=settings.keep, max_age_s=settings.max_age_s)
            for name, settings in self._known.items()
            if settings.keep or settings.max_age_s
        }

    async def run(self) -> None:
        """End inboxes whose time is over, until cancelled."""
        while True:
            now_s = self._catcher.clock.now_s()
            ends = {name: settings.ends_at_s for name, settings in self._known.items() if settings.ends_at_s}
            for name in [name for name, at_s in ends.items() if at_s <= now_s]:
                del ends[name]
                await self.remove(name)
            self._changed = trio.Event()
            # A wall clock may be set: it is looked at again and again.
            with trio.move_on_after(min(min(ends.values(), default=now_s + _RETRY_S) - now_s, _RETRY_S)):
                await self._changed.wait()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def _table(given: object) -> dict[str, Any]:
    names = ("name", *_SECRETS, *_NUMBERS, "expires_in_s", "faults")
    if not isinstance(given, dict) or set(given) - set(names):
        raise InboxError(f"an inbox names {', '.join(names)}")
    return dict(given)


def _settings(values: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    """Return changes that are in their ranges. ``token`` true: a new one. Raises InboxError."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name == "name":
            raise InboxError("name: an inbox keeps its own")
        if name in _SECRETS:
            made = secrets.token_urlsafe(24) if name == "token" and value is True else value
            if not isinstance(made, str) or len(made) > _MAX_SECRET or _UNSAFE.search(made):
                raise InboxError(f"{name}: text of at most {_MAX_SECRET} characters")
            found[name] = made
        else:
            most = _NUMBERS.get(name, _MAX_S)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise InboxError(f"{name}: 0 - {most:g}")
            if name == "keep" and value != int(value):
                raise InboxError("keep: a whole number")
            if name == "expires_in_s":
                found["ends_at_s"] = now_s + value if value else 0.0
            else:
                found[name] = int(value) if name == "keep" else value
    return found
