"""What is in one mbox file: messages and their places, UIDs, and what other programs did to it.

Owns the table, the locks and the identity of the file as last seen. UIDs stand
in the file (X-UID, X-IMAPbase). A message that another program appended gets
its UID in memory and in the index, recognised by a hash of its header, until
the file is rewritten anyway; the last UID given is always written down.

Fails: ``InUseError`` when another program holds the lock too long; ``NotFoundError``
when the file of a mailbox other than INBOX is gone.
Sources: Dovecot "Mbox Mailbox Format" (metadata), UW imapd (X-IMAPbase).
"""

import contextlib
import os
from array import array
from collections.abc import Iterator

from appliance.model.errors import NotFoundError
from appliance.model.ids import MailboxId
from appliance.storage.attributes import AttributeFile, is_mailbox_id, new_mailbox_id
from appliance.storage.fileops import NO_SPACE
from appliance.storage.folder import FolderContext, Known
from appliance.storage.keywords import SYSTEM_MASK, KeywordTable
from appliance.storage.locks import MboxLock
from appliance.storage.mbox_rewrite import Piece, recover, rewrite
from appliance.storage.mbox_scan import Entry, read_header, scan, torn_tail
from appliance.storage.mbox_text import FIELDS, State, base_value, filter_header, hash_header, parse_state, state_fields
from appliance.storage.table import Delta, MessageTable, without

__all__ = ["ATTRIBUTES_SUFFIX", "MboxState"]

ATTRIBUTES_SUFFIX = b".metadata"
ID_KEY = "mailbox-id"

MAX_KEYWORDS = 50
SMALL_FILE_BYTES = 4 * 1_048_576
"""Up to here a changed file is read whole; a larger one that only grew is read from its old end."""
MAX_UID_VALIDITY = 0xFFFF_FFFF
MAX_LAST_UID = 0xFFFF_0000
"""Where UIDs start anew (RFC 3501 section 2.3.1.1: never beyond 32 bits); leaves room for one batch."""
REPEATABLE_COUNT = 20_000
PROBE_BYTES = 64


class MboxState:
    """The half of an mbox folder that looks; see ``Folder``."""

    def __init__(self, context: FolderContext, path: bytes, *, is_inbox: bool) -> None:
        self._context = context
        self._ops = context.ops
        self._is_inbox = is_inbox
        self.relocate(path)
        self.table = MessageTable()
        self.keywords = KeywordTable((), MAX_KEYWORDS)
        self.uid_validity = 0
        self.next_uid = 1
        self._offsets = array("Q")
        self._lengths = array("Q")
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._probe = b""  # how the last message began
        self._is_doubtful = False
        self._is_locked = False
        self._last_uid_at = -1  # where the ten digits of the last uid stand, once looked for
        self.header_hashes: dict[int, bytes] = {}  # uid -> header hash, where the file does not say the uid
        self._late = Delta()  # found while the file was locked for something else
        self._uids_unflushed = False
        self._delivered: dict[str, int] = {}
        self._found: dict[str, int] = {}
        self._id = ""

    def relocate(self, path: bytes) -> None:
        """Go on with the folder under another path."""
        self.path = path
        self._lock = MboxLock(self._ops, path, self._context.lock_wait_s)

    def doubt(self) -> None:
        self._is_doubtful = True
        self._seen = (0, 0, 0)

    def is_there(self) -> bool:
        # INBOX is made when it is needed, but only where its directory is.
        return self._ops.exists(self.path) or (self._is_inbox and self._ops.exists(self.path.rpartition(b"/")[0]))

    def identify(self, *, anew: bool = False) -> MailboxId:
        """An mbox may be empty, so its id stands beside it."""
        if not self._id or anew:
            file = AttributeFile(self._ops, self.path + ATTRIBUTES_SUFFIX)
            noted = file.read()
            known = noted.get(ID_KEY, b"").decode("ascii", "replace")
            if anew or not is_mailbox_id(known):
                known = new_mailbox_id()
                try:
                    file.write(noted | {ID_KEY: known.encode("ascii")})
                except OSError as error:  # people must be able to open a mailbox to make room
                    if error.errno not in NO_SPACE:
                        raise
            self._id = known
        return MailboxId(self._id)

    # Locking

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the file locked, with the table in step with it; yields the open file."""
        fd = self._lock.acquire()
        try:
            recovered = recover(self._ops, self.path, fd)
            if recovered or self._identify(os.fstat(fd)) != self._seen or self.next_uid > MAX_LAST_UID + 1:
                self._is_doubtful = False
                self._merge(self._take_in(fd))
                self._note_seen(fd)  # already: what follows may fail, and what was taken in must not be taken in again
            self._is_locked = True
            yield fd
            self._note_seen(fd)
        finally:
            self._is_locked = False
            self._lock.release(fd)

    def _note_seen(self, fd: int) -> None:
        self._seen = (0, 0, 0) if self._is_doubtful else self._identify(os.fstat(fd))

    @staticmethod
    def _identify(status: os.stat_result) -> tuple[int, int, int]:
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    def _merge(self, delta: Delta) -> None:
        late = self._late
        late.is_reset |= delta.is_reset
        late.added = [uid for uid in late.added if uid not in delta.removed] + delta.added
        late.changed += delta.changed
        late.removed += delta.removed

    # Looking at the disk

    def load(self, known: Known) -> Delta:
        if not self.is_there():
            raise NotFoundError(repr(self.path))
        fd = self._lock.acquire()
        try:
            recover(self._ops, self.path, fd)
            self._cut(fd)
            self.uid_validity, self.next_uid = known.uid_validity, max(1, known.next_uid)
            self._read_all(fd, known.hashes or {}, is_first=True)
            self._seen = self._identify(os.fstat(fd))
        finally:
            self._lock.release(fd)
        return Delta(added=list(self.table.uids))

    def _cut(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if not size:
            return
        entries = scan(fd, self._last_separator(fd, size), size)
        end = torn_tail(fd, size, entries[-1] if entries else None)
        if end < size:
            self._ops.truncate(fd, end)
            self._ops.flush(fd)

    @staticmethod
    def _last_separator(fd: int, size: int) -> int:
        """Return the beginning of a line from which on the last message is surely found, most of the time near the end."""
        begin = max(0, size - SMALL_FILE_BYTES)
        if begin:
            data = os.pread(fd, SMALL_FILE_BYTES, begin)
            found = data.rfind(b"\n\nFrom ")
            if found < 0:
                return 0
            begin += found + 2
        return begin

    def rescan(self) -> Delta:
        try:
            status: os.stat_result | None = self._ops.status(self.path)
        except FileNotFoundError:
            if not self._is_inbox:
                raise NotFoundError(repr(self.path)) from None
            status = None
        if status is None or self._identify(status) != self._seen:
            if status is None and not len(self.table) and not self._late:
                return Delta()
            with self._locked():
                pass
        delta, self._late = self._late, Delta()
        return delta

    def has_news(self) -> bool:
        return bool(self._late) or self._identify(self._ops.status(self.path)) != self._seen

    def _take_in(self, fd: int) -> Delta:
        """Bring the table in step with a file that changed."""
        size = os.fstat(fd).st_size
        old_size = self._seen[1]
        if size > max(old_size, SMALL_FILE_BYTES) and old_size and self._only_grew(fd, old_size):
            return self._read_tail(fd, old_size, size)
        hashes = {hash_: uid for uid, hash_ in self.header_hashes.items()}
        return self._read_all(fd, hashes, is_first=False)

    def _only_grew(self, fd: int, old_size: int) -> bool:
        if os.fstat(fd).st_ino != self._seen[0] or not len(self._offsets):
            return False
        last = max(self._offsets)
        return os.pread(fd, PROBE_BYTES, last) == self._probe and os.pread(fd, 6, old_size - 1) == b"\nFrom "

    def _read_tail(self, fd: int, old_size: int, size: int) -> Delta:
        """Messages that another program appended are new, whatever uid they bring."""
        entries = scan(fd, old_size, size)
        for entry in entries:
            self._give_uid(fd, entry)
            self._insert(entry)
        self._note_probe(fd)
        self._write_down(fd, entries, has_base=True)
        return Delta(added=[entry.uid for entry in entries])

    def _read_all(self, fd: int, hashes: dict[bytes, int], *, is_first: bool) -> Delta:
        entries = scan(fd, 0, os.fstat(fd).st_size)
        if self.next_uid > MAX_LAST_UID + 1:  # all given
            self.uid_validity = 0
        has_base = bool(entries) and self._can_go_on(entries[0].state)
        is_reset = self._agree_on_validity(entries[0].state.uid_validity if has_base else 0)
        if has_base:
            self.next_uid = max(self.next_uid, entries[0].state.last_uid + 1)
            for name in entries[0].state.all_keywords:
                self._keyword_bit(name)
        trusts_file = has_base or not is_reset
        old_table = self.table
        old = dict(zip(old_table.uids, zip(old_table.flags, old_table.modseqs, old_table.sizes, strict=True), strict=True))
        self._assign(fd, entries, {} if is_reset else hashes, known=None if is_first or is_reset else old, trusts_file=trusts_file)
        self._reset()
        for entry in sorted(entries, key=lambda entry: entry.uid):
            self._insert(entry)
        if not is_reset:  # told already, although nobody could write an O into the file
            self.table.recent -= {uid for uid in old if uid not in old_table.recent}
        self._note_probe(fd)
        self._write_down(fd, entries, has_base=has_base)
        if is_first:
            self._found = {entry.state.queue_id: entry.uid for entry in entries[-REPEATABLE_COUNT:] if entry.state.queue_id}
        return self._compare(old, is_reset=is_reset)

    def _can_go_on(self, base: State) -> bool:
        return 0 < base.uid_validity <= MAX_UID_VALIDITY and max(base.last_uid, self.next_uid - 1) <= MAX_LAST_UID

    def _agree_on_validity(self, in_file: int) -> bool:
        """Take the file's uid_validity, else ours, else a new one; True if that voids all uids known so far."""
        if in_file:
            is_reset = in_file != self.uid_validity
            self.uid_validity = in_file
        else:
            is_reset = not self.uid_validity
            self.uid_validity = self.uid_validity or self._context.new_uid_validity()
        if is_reset:
            self.next_uid = 1
        return is_reset

    def _assign(
        self,
        fd: int,
        entries: list[Entry],
        hashes: dict[bytes, int],
        *,
        known: "dict[int, tuple[int, int, int]] | None",
        trusts_file: bool,
    ) -> None:
        """Give every entry its uid: the file's if it may be ours, else that of its hash, else a new one."""
        taken: set[int] = set()
        missing = []
        for entry in entries:
            uid = entry.state.uid
            if trusts_file and 0 < uid < self.next_uid and uid not in taken and (known is None or uid in known):
                entry.uid = uid
            else:
                if not entry.hash:
                    entry.hash = hash_header(*read_header(fd, entry.offset, entry.length)[:2])
                if hashes.get(entry.hash, 0) in taken | {0}:
                    missing.append(entry)
                    continue
                entry.uid = hashes[entry.hash]
            taken.add(entry.uid)
        for entry in missing:
            self._give_uid(fd, entry)

    def _give_uid(self, fd: int, entry: Entry) -> None:
        if not entry.hash:
            entry.hash = hash_header(*read_header(fd, entry.offset, entry.length)[:2])
        entry.uid = self.next_uid
        self.next_uid += 1

    def _write_down(self, fd: int, entries: list[Entry], *, has_base: bool) -> None:
        """Write uids into the file where it is cheap or must be; what cannot be written now stays in memory and index."""
        order = [self.table.position(entry.uid) for entry in entries]
        foreign = [at for at, entry in zip(order, entries, strict=True) if entry.state.uid not in (0, entry.uid)]
        with contextlib.suppress(OSError):
            if entries and not has_base:
                self._write_everything(fd)
            elif foreign:  # they would pass for ours the next time
                self._rewrite(fd, foreign[0], redo=set(foreign))
            if entries and has_base and any(entry.uid != entry.state.uid for entry in entries):
                self._write_last_uid(fd)

    def _reset(self) -> None:
        self.table = MessageTable()
        self._offsets = array("Q")
        self._lengths = array("Q")
        self.header_hashes = {}
        self._last_uid_at = -1

    def _insert(self, entry: Entry) -> None:
        flags = int(entry.state.flags)
        for name in entry.state.keywords:
            flags |= self._keyword_bit(name)
        self.table.append(entry.uid, flags, 0)
        self._offsets.append(entry.offset)
        self._lengths.append(entry.length)
        if not entry.state.is_old:
            self.table.recent.add(entry.uid)
        if entry.uid != entry.state.uid:
            self.header_hashes[entry.uid] = entry.hash

    def _keyword_bit(self, name: bytes) -> int:
        text = name.decode("utf-8", "replace")
        bits = self.keywords.mask([text])
        if not bits and len(self.keywords.names) < MAX_KEYWORDS:
            self.keywords.names.append(text)
            bits = self.keywords.mask([text])
        return bits

    def _note_probe(self, fd: int) -> None:
        self._probe = os.pread(fd, PROBE_BYTES, max(self._offsets)) if len(self._offsets) else b""

    def _compare(self, old: "dict[int, tuple[int, int, int]]", *, is_reset: bool) -> Delta:
        if is_reset:
            return Delta(is_reset=True)
        delta = Delta()
        for position, uid in enumerate(self.table.uids):
            had = old.pop(uid, None)
            if had is None:
                delta.added.append(uid)
                continue
            self.table.modseqs[position] = had[1]
            self.table.sizes[position] = had[2]
            if had[0] != self.table.flags[position]:
                delta.changed.append(uid)
        delta.removed = list(old)
        return delta

    # Writing state

    def _file_order(self) -> list[int]:
        return sorted(range(len(self._offsets)), key=self._offsets.__getitem__)

    def _base(self) -> bytes:
        return base_value(self.uid_validity, self.next_uid - 1, self.keywords.names)

    def _write_last_uid(self, fd: int) -> None:
        """Note in the first message which uids were given: ten digits in place."""
        if self._last_uid_at < 0:
            self._write_base(fd)
        elif len(self.table):
            self._ops.write_at(fd, b"%010d" % (self.next_uid - 1), self._last_uid_at)
            self._uids_unflushed = True

    def _write_base(self, fd: int) -> None:
        """Write the whole X-IMAPbase field. In place; everything anew when there is no room."""
        order = self._file_order()
        if not order:
            return
        first = order[0]
        line, header, _ = read_header(fd, self._offsets[first], self._lengths[first])
        patch = self._patch(header, {b"x-imapbase": self._base()})
        if patch is None:
            self._write_everything(fd)
            return
        for at, data in patch:
            self._ops.write_at(fd, data, self._offsets[first] + len(line) + at)
        self._uids_unflushed = True
        for match in FIELDS.finditer(header):
            if match[1].lower() == b"x-imapbase":
                self._last_uid_at = self._offsets[first] + len(line) + match.start(2) + 11

    @staticmethod
    def _patch(header: bytes, values: dict[bytes, bytes]) -> list[tuple[int, bytes]] | None:
        """Return what to write where so that the fields have these values; None when it does not fit in place."""
        patch = []
        found = set()
        for match in FIELDS.finditer(header):
            name = match[1].lower()
            name = b"x-imapbase" if name == b"x-imap" else name
            value = values.get(name)
            if value is None:
                continue
            if name in found or len(value) > len(match[2]):
                return None
            found.add(name)
            padded = value.ljust(len(match[2]))
            if padded != match[2]:
                patch.append((match.start(2), padded))
        if any(value and name not in found for name, value in values.items()):
            return None
        return patch

    def _write_everything(self, fd: int) -> None:
        order = self._file_order()
        self._rewrite(fd, order[0], redo=set(order))

    def _rewrite(self, fd: int, first: int, *, redo: set[int], skip: frozenset[int] = frozenset()) -> None:
        """Write the file anew from one message on: ``redo`` with fresh state, ``skip`` not at all. Durable at return."""
        order = self._file_order()
        at = order.index(first)
        position_of_first = next((position for position in order if position not in skip), -1)
        if position_of_first in order[at:]:
            redo = redo | {position_of_first}
        redo = redo | {position for position in order[at:] if self.table.uids[position] in self.header_hashes}
        start = offset = self._offsets[first]
        pieces: list[Piece] = []
        places: dict[int, tuple[int, int]] = {}
        for position in order[at:]:
            if position in skip:
                continue
            made = self._message_pieces(fd, position, is_first=position == position_of_first, redo=position in redo)
            pieces += made
            length = sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in made)
            places[position] = (offset, length)
            offset += length
        self._last_uid_at = -1
        rewrite(self._ops, self.path, fd, start, pieces)
        for position, (new_offset, length) in places.items():
            self._offsets[position], self._lengths[position] = new_offset, length
            if position in redo:
                self.header_hashes.pop(self.table.uids[position], None)
        self._drop(sorted(skip))
        self._note_probe(fd)
        self._uids_unflushed = False

    def _message_pieces(self, fd: int, position: int, *, is_first: bool, redo: bool) -> list[Piece]:
        offset, length = self._offsets[position], self._lengths[position]
        if not redo:
            return [(offset, length)]
        line, header, body_at = read_header(fd, offset, length)
        uid, flags = self.table.uids[position], self.table.flags[position]
        state = parse_state(header)
        fields = state_fields(
            uid,
            flags & SYSTEM_MASK,
            is_old=uid not in self.table.recent,
            keywords=self.keywords.of(flags),
            queue_id=state.queue_id,
            saved_at_s=state.saved_at_s,
            base=self._base() if is_first else b"",
        )
        if header and not header.endswith(b"\n"):
            header += b"\n"
        return [line + fields + filter_header(header) + b"\n", (offset + body_at, length - body_at)]

    def _drop(self, positions: list[int]) -> None:
        """Take messages out of the table that are out of the file."""
        if positions:
            for position in positions:
                self.header_hashes.pop(self.table.uids[position], None)
            self.table.remove(positions)
            self._offsets = without(self._offsets, positions)
            self._lengths = without(self._lengths, positions)

    def save_keywords(self) -> None:
        if len(self.table):
            with self._locked() as fd:
                self._write_base(fd)

    def write_uids(self) -> None:
        """The file has them already."""

    def flush_uids(self) -> None:
        if self._uids_unflushed:
            self._ops.flush_path(self.path)
            self._uids_unflushed = False
