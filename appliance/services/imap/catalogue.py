"""The names of an account as they are, and as one client was told of them.

Owns the comparison that finds what another program changed on disk. A change that was published is
noted without one; what nobody published is the difference that is left.

Does not: tell a rename by another program from a removal and a new mailbox.
Source:   RFC 5465 section 5.4 (MailboxName), section 5.5 (SubscriptionChange).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.model.changes import NameChange, NameChangeKind, NamePlaces
from appliance.model.ids import MailboxName
from appliance.model.mailbox import MailboxInfo
from appliance.model.ports import MailStore

__all__ = ["Catalogue", "ToldNames", "read_catalogue"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The names of an account at one moment."""

    infos: Sequence[MailboxInfo] = ()
    subscribed: frozenset[MailboxName] = frozenset()
    places: NamePlaces = NamePlaces()

    @property
    def existing(self) -> frozenset[MailboxName]:
        return frozenset(info.name for info in self.infos if info.selectable)


def read_catalogue(store: MailStore) -> Catalogue:
    """Return the names as they are. Blocks: disk."""
    return Catalogue(store.list_mailboxes(), store.subscriptions(), store.name_places())


class ToldNames:
    """What a client knows."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._existing = set(catalogue.existing)
        self._subscribed = set(catalogue.subscribed)

    def note(self, change: NameChange, now: Catalogue) -> None:
        """Take in a change that the client made, or is about to be told of."""
        if change.kind is NameChangeKind.SUBSCRIPTION:
            _copy(change.name, now.subscribed, self._subscribed)
        elif change.old is None:
            _copy(change.name, now.existing, self._existing)
        else:
            for name in self._existing | now.existing:
                if any(name == top or name.startswith(top + "/") for top in (change.old, change.name)):
                    _copy(name, now.existing, self._existing)

    def differences(self, now: Catalogue) -> list[NameChange]:
        """Return what was changed and not noted, and note it."""
        found = [
            NameChange(kind, name)
            for kind, known, true in (
                (NameChangeKind.NAME, self._existing, now.existing),
                (NameChangeKind.SUBSCRIPTION, self._subscribed, now.subscribed),
            )
            for name in sorted(known ^ true)
        ]
        self._existing, self._subscribed = set(now.existing), set(now.subscribed)
        return found


def _copy(name: MailboxName, true: frozenset[MailboxName], known: set[MailboxName]) -> None:
    """Make ``known`` right about one name."""
    if name in true:
        known.add(name)
    else:
        known.discard(name)
