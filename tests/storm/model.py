"""What one client knows of its mailbox, built from nothing but what the server said; every line is checked on the way.

Sources: RFC 3501 section 7.4.1 (when EXPUNGE may come), RFC 7162 section 3.2.10 (VANISHED) and section 6 (HIGHESTMODSEQ),
RFC 9586 (UIDFETCH).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["StormError", "View", "expand"]

_NUMBERED = re.compile(rb"\* (\d+) (EXISTS|RECENT|EXPUNGE|FETCH|UIDFETCH)(?: \((.*)\))?$", re.DOTALL)
_VANISHED = re.compile(rb"\* VANISHED( \(EARLIER\))? ([\d:,]+)$")
_CODE = re.compile(rb"(?:\* |\S+ )OK \[(UIDVALIDITY|HIGHESTMODSEQ|CLOSED|UIDNEXT)(?: (\d+))?\]")
_UID = re.compile(rb"(?:^| )UID (\d+)")
_FLAGS = re.compile(rb"(?:^| )FLAGS \(([^)]*)\)")
_MODSEQ = re.compile(rb"(?:^| )MODSEQ \((\d+)\)")
_SEARCH = re.compile(rb"\* SEARCH((?: \d+)*)(?: \(MODSEQ \d+\))?$")


class StormError(AssertionError):
    """The server said what it must not say."""


def expand(raw: bytes) -> Iterator[int]:
    """Yield the numbers of a set."""
    for part in raw.split(b","):
        first, _, last = part.partition(b":")
        low, high = sorted((int(first), int(last or first)))
        yield from range(low, high + 1)


@dataclass
class View:
    """A selected mailbox. ``uids``: 0 where the client has not been told yet; ``flags`` by uid, without ``\\Recent``."""

    name: bytes
    uids: list[int] = field(default_factory=list)
    flags: dict[int, frozenset[bytes]] = field(default_factory=dict)
    modseqs: dict[int, int] = field(default_factory=dict)
    uid_validity: int = 0
    highest: int = 0
    seen_modseq: int = 0
    is_told: bool = False
    """HIGHESTMODSEQ came with this command."""
    read_only: bool = False
    cached: list[int] | None = None
    """Uids known from before, until VANISHED (EARLIER) has said which are left: they are the first, new ones follow."""

    def _settle(self, line: bytes) -> None:
        if self.cached is not None:
            if len(self.cached) > len(self.uids):
                self._fail(f"{len(self.cached)} messages are left of the cache, {len(self.uids)} are there", line)
            self.uids[: len(self.cached)] = self.cached
            self.cached = None

    def _fail(self, text: str, line: bytes) -> None:
        raise StormError(f"{text}: {line[:300]!r}")

    def begin(self) -> None:
        """A command starts."""
        self.seen_modseq = 0
        self.is_told = False

    def finish(self) -> None:
        """A command ended: what it told of modseqs counts (RFC 7162 section 6)."""
        self._settle(b"")
        if not self.is_told:
            self.highest = max(self.highest, self.seen_modseq)

    def take(self, line: bytes, *, expunge: bool, vanishes: bool, uid_only: bool) -> None:
        """Take in one untagged response. ``expunge``: messages may be told as gone now."""
        if (match := _NUMBERED.match(line)) is not None:
            self._take_numbered(line, int(match[1]), match[2], match[3] or b"", expunge=expunge, vanishes=vanishes, uid_only=uid_only)
        elif (match := _VANISHED.match(line)) is not None:
            self._take_vanished(line, match, expunge=expunge, vanishes=vanishes, uid_only=uid_only)
        elif (match := _CODE.match(line)) is not None:
            self._take_code(line, match)

    def _take_numbered(self, line: bytes, number: int, kind: bytes, data: bytes, *, expunge: bool, vanishes: bool, uid_only: bool) -> None:
        if kind == b"EXISTS":
            if number < len(self.uids):
                self._fail(f"EXISTS fell from {len(self.uids)}", line)
            self.uids += [0] * (number - len(self.uids))
        elif kind == b"EXPUNGE":
            self._settle(line)
            if not expunge or vanishes:
                self._fail("EXPUNGE at a wrong moment", line)
            if not 1 <= number <= len(self.uids):
                self._fail(f"EXPUNGE beyond {len(self.uids)}", line)
            self._forget(self.uids.pop(number - 1))
        elif kind in {b"FETCH", b"UIDFETCH"}:
            self._take_fetch(line, number, data, uid_only=uid_only, by_uid=kind == b"UIDFETCH")

    def _take_fetch(self, line: bytes, number: int, data: bytes, *, uid_only: bool, by_uid: bool) -> None:
        self._settle(line)
        if by_uid is not uid_only:
            self._fail("FETCH of the other kind", line)
        found = _UID.search(data)
        uid = number if by_uid else int(found[1]) if found else 0
        if by_uid:
            if uid not in self.uids:
                self._learn(uid, line)
        elif not 1 <= number <= len(self.uids):
            self._fail(f"FETCH beyond {len(self.uids)}", line)
        else:
            known = self.uids[number - 1]
            if uid and known and uid != known:
                self._fail(f"message {number} was uid {known}", line)
            self.uids[number - 1] = uid = uid or known
            if uid:
                self._check_order(number - 1, line)
        if uid:
            self._take_items(uid, data, line)

    def _learn(self, uid: int, line: bytes) -> None:
        """With UIDONLY places say nothing: what is known stands first, in order."""
        if 0 not in self.uids:
            self._fail("a message that was not announced", line)
        self.uids.remove(0)
        self.uids.append(uid)
        self.uids.sort(key=lambda one: one or 1 << 40)

    def _check_order(self, at: int, line: bytes) -> None:
        uid = self.uids[at]
        if (at and self.uids[at - 1] >= uid) or (at + 1 < len(self.uids) and 0 < self.uids[at + 1] <= uid):
            self._fail("uids do not ascend", line)

    def _take_items(self, uid: int, data: bytes, line: bytes) -> None:
        if (match := _FLAGS.search(data)) is not None:
            self.flags[uid] = frozenset(flag.lower() for flag in match[1].split() if flag != b"\\Recent")
        if (match := _MODSEQ.search(data)) is not None:
            modseq = int(match[1])
            if modseq < self.modseqs.get(uid, 0):
                self._fail(f"modseq of uid {uid} fell from {self.modseqs[uid]}", line)
            self.modseqs[uid] = modseq
            self.seen_modseq = max(self.seen_modseq, modseq)

    def _take_vanished(self, line: bytes, match: "re.Match[bytes]", *, expunge: bool, vanishes: bool, uid_only: bool) -> None:
        gone = list(expand(match[2]))
        if match[1]:
            if any(uid in self.uids for uid in gone):
                self._fail("VANISHED (EARLIER) of what is there", line)
            for uid in gone:
                self._forget(uid)
            if self.cached is not None:
                self.cached = [uid for uid in self.cached if uid not in set(gone)]
            return
        self._settle(line)
        if not expunge or not vanishes:
            self._fail("VANISHED at a wrong moment", line)
        for uid in gone:
            self._forget(uid)
            if uid in self.uids:
                self.uids.remove(uid)
            else:
                self._remove_unknown(uid, line, uid_only=uid_only)

    def _remove_unknown(self, uid: int, line: bytes, *, uid_only: bool) -> None:
        """Take out a message whose uid was not told yet: one that stands where the uid belongs."""
        at = len(self.uids) - 1 if uid_only else next((at for at, known in enumerate(self.uids) if known > uid), len(self.uids)) - 1
        if at < 0 or self.uids[at]:
            self._fail(f"VANISHED of uid {uid} that was not there", line)
        del self.uids[at]

    def _forget(self, uid: int) -> None:
        self.flags.pop(uid, None)
        self.modseqs.pop(uid, None)

    def _take_code(self, line: bytes, match: "re.Match[bytes]") -> None:
        if match[1] == b"UIDVALIDITY":
            self.uid_validity = int(match[2])
        elif match[1] == b"HIGHESTMODSEQ":
            if int(match[2]) < self.highest:
                self._fail(f"HIGHESTMODSEQ fell from {self.highest}", line)
            self.highest = int(match[2])
            self.is_told = True

    def take_code(self, line: bytes) -> None:
        """Take in the code of a tagged response."""
        if (match := _CODE.match(line)) is not None:
            self._take_code(line, match)

    def check_search(self, line: bytes, *, uid: bool) -> None:
        """Numbers found are numbers of messages."""
        match = _SEARCH.match(line)
        if match is None or uid:
            return
        if any(int(number) > len(self.uids) for number in match[1].split()):
            self._fail(f"SEARCH beyond {len(self.uids)}", line)
