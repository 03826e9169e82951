"""How mailboxes stood that nobody has open: kept as long as their files say that nothing changed.

A client that asks STATUS of a thousand mailboxes gets most of them from here, for the price of three
file system look-ups each. The times of files have steps, so that two changes may bear the same one: what
was counted within a second of the last change is not kept.

Does not: know what is only in memory; who has the mailbox open asks that.
Sources:  RFC 9051 section 6.3.11 (STATUS), inode(7) (times).
"""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from appliance.model.ids import MailboxName
from appliance.model.mailbox import MailboxStatus

__all__ = ["Marks", "StatusCache", "marks_of"]

_STEP_NS = 1_000_000_000
"""Longer than the step of any file system's times but FAT's."""


class _Mark(NamedTuple):
    inode: int
    changed_ns: int
    size: int


Marks = tuple[_Mark | None, ...]


def marks_of(paths: Sequence[bytes]) -> Marks:
    """Return what changes when files or directories do, None for what is not there. Blocks: disk."""
    return tuple(_mark_of(path) for path in paths)


def _mark_of(path: bytes) -> _Mark | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - bytes in
    except OSError:
        return None
    return _Mark(found.st_ino, found.st_ctime_ns, found.st_size)


class StatusCache:
    """Of one account. Any thread."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._known: dict[MailboxName, tuple[Marks, bool, MailboxStatus]] = {}

    def find(self, name: MailboxName, marks: Marks, *, sizes: bool) -> MailboxStatus | None:
        """Return what was counted when the files looked like this."""
        known = self._known.get(name)
        return known[2] if known is not None and known[0] == marks and known[1] >= sizes else None

    def keep(self, name: MailboxName, marks: Marks, status: MailboxStatus, *, sizes: bool) -> None:
        """Remember a status. ``marks``: of the files before and after it was counted."""
        newest_ns = max((mark.changed_ns for mark in marks if mark is not None), default=0)
        if newest_ns and newest_ns + _STEP_NS < self._now_s() * 1e9:
            self._known[name] = (marks, sizes, status)
        else:
            self._known.pop(name, None)

    def forget(self, name: MailboxName) -> None:
        """Let go of a mailbox that is gone."""
        self._known.pop(name, None)
