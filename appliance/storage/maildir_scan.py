"""What is in one Maildir folder: listing, UIDs, keywords, and what other programs did to it.

Owns the table, ``dovecot-uidlist`` and ``dovecot-keywords`` of one folder; changes
of messages are ``storage.maildir``. A message gets its UID when it is first
seen; the UID's line in the uidlist is flushed before any client is told
(``flush_uids``), so that no power cut lets a UID name two messages.

Fails: ``OSError``; ``NotFoundError`` when the folder itself is gone.
Does not: work beside a running Dovecot on the same folder (no uidlist lock).
Sources: cr.yp.to/proto/maildir.html, Dovecot "Maildir Mailbox Format".
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from appliance.model.errors import NotFoundError
from appliance.model.ids import MailboxId, QueueId
from appliance.model.mailbox import KEYWORD_SHIFT
from appliance.storage.attributes import is_mailbox_id, new_mailbox_id
from appliance.storage.fileops import FileOps
from appliance.storage.folder import FolderContext, Known
from appliance.storage.gate import DirectoryGate
from appliance.storage.keywords import KeywordTable
from appliance.storage.maildir_files import MaildirWriter
from appliance.storage.maildir_names import (
    NameBlob,
    crlf_size_of,
    crlf_sizes_of,
    flags_from_letters,
    is_ours,
    letters_from_flags,
    queue_id_of,
    saved_of,
    split_name,
    time_of,
)
from appliance.storage.table import Delta, MessageTable, without
from appliance.storage.uidlist import MAX_NEXT_UID, MAX_UID, UIDLIST_NAME, UidList, format_lines, format_uidlist, parse_uidlist

__all__ = ["KEYWORDS_NAME", "MAX_KEYWORDS", "MaildirState", "make_maildir"]

KEYWORDS_NAME = b"dovecot-keywords"
MAX_KEYWORDS = 26
REPEATABLE_COUNT = 20_000
"""So many of the newest messages may be ones whose queue entry survived a crash: more than any settling batch."""
DEAD_LINES = 1_000
MAX_TOLD = 1_000
_IN_CUR = ord("c")
TMP_AGE_S = 36 * 3_600


def make_maildir(ops: FileOps, path: bytes, *, is_root: bool) -> None:
    """Make the directories; ``cur`` last, it is what makes a folder one."""
    ops.make_directory(path)
    for name in (b"tmp", b"new"):
        ops.make_directory(path + b"/" + name)
    if not is_root and not ops.exists(path + b"/maildirfolder"):
        ops.close(ops.create(path + b"/maildirfolder"))
    ops.make_directory(path + b"/cur")


class MaildirState:
    """The half of a Maildir folder that looks; see ``Folder``."""

    def __init__(self, context: FolderContext, path: bytes) -> None:
        self._context = context
        self._ops = context.ops
        self.relocate(path)
        self.table = MessageTable()
        self.keywords = KeywordTable((), MAX_KEYWORDS)
        self.header_hashes: Mapping[int, bytes] = {}  # the uidlist always tells
        self.uid_validity = 0
        self.next_uid = 1
        self._guid = b""
        self._bases = NameBlob()
        self._in_cur = bytearray()
        self._odd: dict[int, bytes] = {}  # uid -> relative path, where it is not what _path_of would say
        self._uidlist_id: tuple[int, int, int] = (0, 0, 0)
        self._lines: list[tuple[int, bytes]] = []  # given, not yet in the uidlist
        self._uids_unflushed = False
        self._dead_lines = 0
        self._delivered: dict[str, int] = {}  # queue ids of this process's deliveries
        self._found: dict[str, int] | None = None  # queue ids that were there before this process's deliveries; see ``_queue_ids``

    def relocate(self, path: bytes) -> None:
        """Go on with the folder under another path."""
        context = self._context
        self.path = path
        self._new = DirectoryGate(self._ops, path + b"/new", context.now_s, context.monotonic_s, context.watches)
        self._cur = DirectoryGate(self._ops, path + b"/cur", context.now_s, context.monotonic_s, context.watches)
        self._writer = MaildirWriter(context, path)

    # Looking at the disk

    def load(self, known: Known) -> Delta:
        if not self._ops.is_directory(self.path + b"/cur"):
            raise NotFoundError(repr(self.path))
        self._load_keywords()
        uidlist = self._read_uidlist()
        if uidlist is not None and known.uid_validity == uidlist.uid_validity:
            uidlist.next_uid = max(uidlist.next_uid, known.next_uid)
        if uidlist is None or uidlist.next_uid > MAX_NEXT_UID:
            validity = self._context.new_uid_validity()
            if validity <= known.uid_validity < MAX_UID:
                validity = known.uid_validity + 1
            uidlist = UidList(validity, 1, b"", is_clean=False)
        if not is_mailbox_id(uidlist.guid.decode("ascii", "replace")):
            uidlist.guid, uidlist.is_clean = new_mailbox_id().encode("ascii"), False
        self.uid_validity, self.next_uid, self._guid = uidlist.uid_validity, uidlist.next_uid, uidlist.guid
        self._reset_table()
        self._sweep()
        found = self._list_all()
        # By uid, as they stand in the list; files without one come last, in the order of their names, which is that of arrival.
        listed = [(base, path, uid) for base, uid in uidlist.uids.items() if (path := found.pop(base, None)) is not None]
        dead = len(uidlist.uids) - len(listed)
        self._insert_all(listed)
        self._insert_all([(base, found[base], 0) for base in sorted(found)])
        self._found = None
        if dead or not uidlist.is_clean:
            self._rewrite_uidlist()
        else:
            self._append_lines()
        return Delta(added=list(self.table.uids))

    def _load_keywords(self) -> None:
        try:
            self.keywords = KeywordTable.parse(self._ops.read_file(self.path + b"/" + KEYWORDS_NAME), MAX_KEYWORDS)
        except FileNotFoundError:
            self.keywords = KeywordTable((), MAX_KEYWORDS)

    def _read_uidlist(self) -> UidList | None:
        path = self.path + b"/" + UIDLIST_NAME
        try:
            status = self._ops.status(path)
            self._uidlist_id = (status.st_ino, status.st_size, status.st_mtime_ns)
            return parse_uidlist(self._ops.read_file(path))
        except FileNotFoundError:
            return None

    def _sweep(self) -> None:
        """Remove what was left in tmp/ long ago (cr.yp.to/proto/maildir.html: 36 hours)."""
        for name in self._ops.list_directory(self.path + b"/tmp"):
            path = self.path + b"/tmp/" + name
            with contextlib.suppress(OSError):
                if self._ops.status(path).st_mtime < self._context.now_s() - TMP_AGE_S:
                    self._ops.unlink(path)

    def _reset_table(self) -> None:
        self.table = MessageTable()
        self._bases = NameBlob()
        self._in_cur = bytearray()
        self._odd = {}
        self._lines = []

    def _list_all(self) -> dict[bytes, bytes]:
        """Return base name to relative path. new/ is listed first: a file that moves meanwhile is then seen in cur/."""
        found = {name.partition(b":2,")[0]: b"new/" + name for name in self._new.list()}
        found |= {name.partition(b":2,")[0]: b"cur/" + name for name in self._cur.list()}
        return found

    def _insert(self, base: bytes, path: bytes, uid: int) -> int:
        """Take a file into the table, last, with the next uid when it has none; 0 when it is no message."""
        letters = split_name(path)[1]
        if b",W=" not in base and self._ops.is_directory(self.path + b"/" + path):
            return 0
        if not uid:
            uid = self.next_uid
            self.next_uid += 1
            self._lines.append((uid, base))
        flags = flags_from_letters(letters or b"")[0]
        if flags >> KEYWORD_SHIFT:
            self.keywords.grow((flags >> KEYWORD_SHIFT).bit_length())
        in_cur = path.startswith(b"cur/")
        self.table.append(uid, flags, crlf_size_of(base))
        self._bases.append(base)
        self._in_cur.append(in_cur)
        if not in_cur:
            self.table.recent.add(uid)
        usual = b"cur/%s:2,%s" % (base, letters_from_flags(flags)) if in_cur else b"new/" + base
        if path != usual:  # odd order, foreign letters, no ":2,"
            self._odd[uid] = path
        return uid

    def _insert_all(self, found: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Take many files in, as ``_insert`` does with one. Those that are named as we name them are taken together."""
        uids: list[int] = []
        flags: list[int] = []
        sizes: list[int] = []
        bases: list[bytes] = []

        def take() -> None:
            self.table.extend(uids, flags, sizes)
            self._bases.extend(bases)
            self._in_cur += b"\1" * len(uids)
            for taken in (uids, flags, sizes, bases):
                taken.clear()

        known: dict[bytes, int] = {}  # what follows the base name -> flags, -1 when it must be looked at
        rows = list(found)
        for (base, path, given), size in zip(rows, crlf_sizes_of([row[0] for row in rows]), strict=True):
            suffix = path[len(base) + 4 :]
            bits = known.get(suffix)
            if bits is None:
                bits = known[suffix] = self._usual_flags(suffix)
            if bits < 0 or not size or path[0] != _IN_CUR:
                take()
                self._insert(base, path, given)
                continue
            uid = given or self.next_uid
            if not given:
                self.next_uid += 1
                self._lines.append((uid, base))
            uids.append(uid)
            flags.append(bits)
            sizes.append(size)
            bases.append(base)
        take()

    def _usual_flags(self, suffix: bytes) -> int:
        """Return the flags that the end of a name in cur/ tells; -1 when we would write them otherwise."""
        bits, others = flags_from_letters(suffix[3:])
        if others or suffix != b":2," + letters_from_flags(bits):
            return -1
        if bits >> KEYWORD_SHIFT:
            self.keywords.grow((bits >> KEYWORD_SHIFT).bit_length())
        return bits

    def _queue_ids(self) -> dict[str, int]:
        """Return the uids of the newest messages by queue id. Read from their names with the first delivery; who only reads needs none."""
        if self._found is None:
            self._found = {}
            count = len(self.table)
            for position in range(max(0, count - REPEATABLE_COUNT), count):
                queue_id = queue_id_of(self._bases[position])
                if queue_id is not None:
                    self._found[queue_id] = self.table.uids[position]
        return self._found

    def rescan(self) -> Delta:
        try:
            if self._uidlist_changed():
                return self._reload()
            new_listed = self._new.must_list()
            new_names = self._new.list() if new_listed else []
            gone_from_new: list[int] = []
            added: dict[bytes, bytes] = {}
            if new_listed:
                gone_from_new = self._compare(b"new/", new_names, added, in_cur=0)
            gone_from_cur: list[int] = []
            if gone_from_new or self._cur.must_list():
                gone_from_cur = self._compare(b"cur/", self._cur.list(), added, in_cur=1)
        except FileNotFoundError as error:
            raise NotFoundError(repr(self.path)) from error
        if not added and not gone_from_new and not gone_from_cur:
            return Delta()
        return self._take_in(added, sorted(gone_from_new + gone_from_cur))

    def has_news(self) -> bool:
        return self._uidlist_changed() or self._new.must_list() or self._cur.must_list()

    def _compare(self, prefix: bytes, names: Sequence[bytes], added: dict[bytes, bytes], *, in_cur: int) -> list[int]:
        """Collect names that are not in the table into ``added``; return positions whose file is not there."""
        listed = {prefix + name for name in names}
        gone = []
        for position, where in enumerate(self._in_cur):
            if where == in_cur:
                path = self._path_of(position)
                if path in listed:
                    listed.discard(path)
                else:
                    gone.append(position)
        added.update((split_name(path)[0][len(prefix) :], path) for path in listed)
        return gone

    def _take_in(self, added: dict[bytes, bytes], gone: list[int]) -> Delta:
        """Bring the table in step: moved and renamed files keep their uid, new ones get one."""
        delta = Delta()
        lost = []
        for position in gone:
            path = added.pop(self._bases[position], None)
            if path is None:
                lost.append(position)
            elif self._move_entry(position, path):
                delta.changed.append(self.table.uids[position])
        if added:  # the same base name in new/ and cur/, or with other flags: one message, cur/ wins
            twins = [position for position, base in enumerate(self._bases) if base in added]
            for position in twins:
                path = added.pop(self._bases[position])
                if path.startswith(b"cur/") and not self._in_cur[position] and self._move_entry(position, path):
                    delta.changed.append(self.table.uids[position])
        delta.removed = [self.table.uids[position] for position in lost]
        delta.vanished = _origins(self._bases[position] for position in lost)
        self._forget(lost)
        for base in sorted(added):
            uid = self._insert(base, added[base], 0)
            if uid:
                delta.added.append(uid)
        self._append_lines()
        return delta

    def _move_entry(self, position: int, path: bytes) -> bool:
        """Note that a message's file has another name now; True if its flags changed."""
        flags, others = flags_from_letters(split_name(path)[1] or b"")
        if flags >> KEYWORD_SHIFT:
            self.keywords.grow((flags >> KEYWORD_SHIFT).bit_length())
        uid = self.table.uids[position]
        in_cur = path.startswith(b"cur/")
        self._in_cur[position] = in_cur
        if in_cur:
            self.table.recent.discard(uid)
        changed = flags != self.table.flags[position]
        self.table.flags[position] = flags
        self._odd.pop(uid, None)
        if others or path != self._usual_path(position):
            self._odd[uid] = path
        return changed

    def _uidlist_changed(self) -> bool:
        """Tell whether it must be read again: another program wrote it, or its UIDs are used up."""
        if self.next_uid > MAX_NEXT_UID:
            return True
        try:
            status = self._ops.status(self.path + b"/" + UIDLIST_NAME)
        except FileNotFoundError:
            return True
        return self._uidlist_id != (status.st_ino, status.st_size, status.st_mtime_ns)

    def _reload(self) -> Delta:
        """Read everything again: another program wrote the uidlist, or removed it."""
        old, old_bases, old_validity = self.table, self._bases, self.uid_validity
        self.load(Known(old_validity, self.next_uid) if self._ops.exists(self.path + b"/" + UIDLIST_NAME) else Known(old_validity))
        if self.uid_validity != old_validity:
            return Delta(is_reset=True)
        before = dict(zip(old.uids, zip(old.flags, old.modseqs, old_bases, strict=True), strict=True))
        delta = Delta()
        for position, (uid, base) in enumerate(zip(self.table.uids, self._bases, strict=True)):
            had = before.pop(uid, None)
            if had is None or had[2] != base:
                delta.added.append(uid)
                if had is not None:
                    delta.removed.append(uid)
                continue
            self.table.modseqs[position] = had[1]
            if had[0] != self.table.flags[position]:
                delta.changed.append(uid)
        delta.removed += before
        delta.vanished = _origins(had[2] for had in before.values())
        return delta

    def doubt(self) -> None:
        self._uidlist_id = (0, 0, 0)

    def is_there(self) -> bool:
        return self._ops.is_directory(self.path + b"/cur")

    def _note_change(self, path: bytes) -> None:
        """A name in new/ or cur/ came or went by our own hand."""
        (self._new if path.startswith(b"new/") else self._cur).expect()

    def identify(self, *, anew: bool = False) -> MailboxId:
        """The uidlist has it in its first line, where Dovecot looks too."""
        if anew:
            self._guid = new_mailbox_id().encode("ascii")
            self._rewrite_uidlist()
        return MailboxId(self._guid.decode("ascii"))

    # Names and UIDs

    def _usual_path(self, position: int) -> bytes:
        if self._in_cur[position]:
            return b"cur/%s:2,%s" % (self._bases[position], letters_from_flags(self.table.flags[position]))
        return b"new/" + self._bases[position]

    def _path_of(self, position: int) -> bytes:
        """Return the message's path below the folder, as last seen."""
        if self._odd:
            odd = self._odd.get(self.table.uids[position])
            if odd is not None:
                return odd
        return self._usual_path(position)

    def _forget(self, positions: Sequence[int]) -> None:
        """Drop messages from the table. Their lines in the uidlist die, and are dropped when there are many."""
        if not positions:
            return
        for position in positions:
            self._odd.pop(self.table.uids[position], None)
        self.table.remove(positions)
        self._bases.remove(positions)
        self._in_cur = without(self._in_cur, positions)
        self._dead_lines += len(positions)

    def _note_uidlist(self) -> None:
        status = self._ops.status(self.path + b"/" + UIDLIST_NAME)
        self._uidlist_id = (status.st_ino, status.st_size, status.st_mtime_ns)

    def _append_lines(self, *, flush: bool = False) -> None:
        """Write down UIDs given since the last time; not flushed unless ``flush``."""
        if not self._lines:
            return
        if self._dead_lines > max(DEAD_LINES, len(self.table)):
            self._rewrite_uidlist()
            return
        if self._uidlist_changed():  # by another program: the next rescan reads it and gives these messages their uids
            return
        fd = self._ops.open_append(self.path + b"/" + UIDLIST_NAME)
        try:
            self._ops.write(fd, format_lines(self._lines))
            if flush:
                self._ops.flush(fd)
            status = os.fstat(fd)
        finally:
            self._ops.close(fd)
        self._uidlist_id = (status.st_ino, status.st_size, status.st_mtime_ns)
        self._lines = []
        self._uids_unflushed = not flush

    def _rewrite_uidlist(self) -> None:
        """Write the whole uidlist anew. Durable at return."""
        entries: Iterable[tuple[int, bytes]] = zip(self.table.uids, self._bases, strict=True)
        data = format_uidlist(self.uid_validity, self.next_uid, self._guid, entries)
        self._ops.replace_file(self.path + b"/" + UIDLIST_NAME, data)
        self._lines = []
        self._dead_lines = 0
        self._uids_unflushed = False
        self._note_uidlist()

    def write_uids(self) -> None:
        self._append_lines()

    def flush_uids(self) -> None:
        self._append_lines(flush=True)
        if self._uids_unflushed:
            fd = self._ops.open_append(self.path + b"/" + UIDLIST_NAME)
            try:
                self._ops.flush(fd)
            finally:
                self._ops.close(fd)
            self._uids_unflushed = False

    def save_keywords(self) -> None:
        self._ops.replace_file(self.path + b"/" + KEYWORDS_NAME, self.keywords.to_bytes())

    def dates(self, position: int) -> tuple[int, int]:
        base = self._bases[position]
        status = self._ops.status(self.path + b"/" + self._path_of(position))
        internal_date_s = time_of(base)
        if not internal_date_s or not is_ours(base):
            # Such a name begins with the time of delivery. Dovecot keeps an older internal date in the file's time; cp makes that younger.
            internal_date_s = min(internal_date_s, int(status.st_mtime)) or int(status.st_mtime)
        return internal_date_s, saved_of(base) or int(status.st_ctime)


def _origins(bases: Iterable[bytes]) -> list[QueueId]:
    """Return the queue ids that stand in names, the first thousand."""
    found = (queue_id_of(base) for base in bases)
    return [QueueId(one) for one in islice((one for one in found if one is not None), MAX_TOLD)]
