"""What goes wrong on purpose in one SMTP session: the profile of all mail and, once one is known, that of its inbox.

A login or a recipient says which inbox; until then, at the greeting and at
STARTTLS, the general profile alone decides. An inbox's profile is asked first.
What an address asks for is asked once.

Pure, but for the counts of sessions in the profiles.
"""

from collections.abc import Callable, Collection, Sequence

from appliance.model.caught import Fault
from appliance.policy.caught_faults import Faults, magic_fault

__all__ = ["FaultBook", "FindProfile"]

FindProfile = Callable[[str, str], Faults | None]
"""From a login and a recipient, each ``""`` when it is not known, to the profile of their inbox."""


def _no_inboxes(_login: str, _recipient: str) -> Faults | None:
    return None


class FaultBook:
    """Implements ``model.caught.FaultSource``."""

    def __init__(self, general: Faults, find: FindProfile = _no_inboxes) -> None:
        self.general = general
        self.find = find

    def begin(self, client: str) -> "_Session":
        """See ``FaultSource.begin``."""
        return _Session(self, client)


class _Session:
    """Implements ``model.caught.SessionFaults``."""

    def __init__(self, book: FaultBook, client: str) -> None:
        self._book = book
        self._client = client
        self._login = ""
        self._profiles: list[Faults] = []
        """Those that count this session."""
        self._inbox: Faults | None = None
        self._speeds: list[float] = []

    @property
    def without(self) -> Collection[str]:
        general = self._book.general.without
        return general if self._inbox is None else general | self._inbox.without

    @property
    def bytes_per_s(self) -> float:
        return min(filter(None, self._speeds), default=0.0)

    def close(self) -> None:
        for profile in self._profiles:
            profile.sessions -= 1
        self._profiles.clear()

    def _enter(self, profile: Faults) -> Fault | None:
        """Count the session in a profile, once."""
        if any(profile is known for known in self._profiles):
            return None
        self._profiles.append(profile)
        profile.sessions += 1
        self._speeds.append(profile.link_speed())
        return profile.at_connection()

    def _move(self, recipient: str) -> Fault | None:
        """Find the inbox of what is known now."""
        self._inbox = self._book.find(self._login, recipient)
        return self._enter(self._inbox) if self._inbox is not None else None

    def at_greeting(self) -> Fault | None:
        return self._enter(self._book.general)

    def at_tls(self) -> Fault | None:
        return self._book.general.at_tls()

    def at_login(self, login: str) -> Fault | None:
        self._login = login
        fault = self._move("")
        if fault is None and self._inbox is not None:
            fault = self._inbox.at_login(login)
        return fault or self._book.general.at_login(login)

    def at_sender(self, reverse_path: str) -> Fault | None:
        fault = self._inbox.at_sender(reverse_path, self._client, magic=False) if self._inbox is not None else None
        return fault or self._book.general.at_sender(reverse_path, self._client)

    def at_recipient(self, reverse_path: str, recipient: str) -> Fault | None:
        fault = self._move(recipient)
        if fault is None and self._inbox is not None:
            fault = self._inbox.at_recipient(reverse_path, recipient, magic=False)
        return fault or self._book.general.at_recipient(reverse_path, recipient)

    def at_data(self, recipients: Sequence[str]) -> Fault | None:
        """The first recipient that asks for something decides."""
        return next(filter(None, [magic_fault(recipient, "data") for recipient in recipients]), None)

    def at_end(self, recipients: Sequence[str]) -> Fault | None:
        return next(filter(None, [magic_fault(recipient, "end") for recipient in recipients]), None)
