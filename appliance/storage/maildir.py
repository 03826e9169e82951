"""One Maildir folder: putting messages in, changing flags, taking them out.

Every step leaves a state that any reader of Maildirs understands: a file is in
tmp/, or whole under its name. A failed step is undone as far as it went, and
what cannot be undone is only a file in tmp/.

Fails: ``OSError``; ``NotFoundError`` when the folder itself is gone.
Does not: work beside a running Dovecot on the same folder (no uidlist lock).
Sources: cr.yp.to/proto/maildir.html, Dovecot "Maildir Mailbox Format".
"""

import contextlib
import errno
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, cast

from appliance.model.ids import QueueId
from appliance.model.mailbox import NewMessage
from appliance.storage.fileops import NO_SPACE
from appliance.storage.folder import Added, Folder, FolderContext, Pending
from appliance.storage.maildir_files import Written, open_stored
from appliance.storage.maildir_names import (
    crlf_size_of,
    file_size_of,
    flags_from_letters,
    is_ours,
    letters_from_flags,
    queue_id_of,
    split_name,
)
from appliance.storage.maildir_scan import MaildirState

__all__ = ["MaildirFolder"]

MAX_REMEMBERED = 100_000
"""Queue ids of this process's deliveries that are remembered per folder."""
NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})


class MaildirFolder(MaildirState):
    """See ``Folder``."""

    _batch: list[bytes] | None = None
    """Paths placed while a batch is delivered."""

    def __init__(self, context: FolderContext, path: bytes) -> None:
        super().__init__(context, path)
        self._unflushed: set[bytes] = set()
        """Directories in which flags changed since the last ``flush_flags``."""

    # Putting in

    def add(self, messages: Sequence[tuple[NewMessage, int]], *, durable: bool, pending: list[Pending] | None = None) -> list[Added]:
        written: list[Written] = []
        try:
            for message, _ in messages:
                written.append(self._writer.write(message))
            if durable:
                for one in written:
                    self._ops.flush(one.fd)
        except BaseException:
            self._discard(written)
            raise
        paths = [self._final_path(one, flags) for one, (_, flags) in zip(written, messages, strict=True)]
        self._place([(one.temporary, path) for one, path in zip(written, paths, strict=True)], written)
        added = []
        for one, path, (message, _) in zip(written, paths, messages, strict=True):
            uid = self._insert(one.base, path, 0)
            added.append(Added(uid, one.size, one.data, int(message.internal_date_s)))
            if durable or pending is None:
                self._ops.close(one.fd)
            else:
                pending.append(Pending(one.fd, self.path + b"/" + path))
        if durable:
            try:
                self.flush_uids()  # first: where a journal takes all changes in order, the directories have nothing left to wait for
                self._flush_directories(paths)
            except BaseException:
                self._take_back(paths)
                raise
        return added

    def _take_back(self, paths: Sequence[bytes]) -> None:
        """Undo what was put in; the table is read again after the failure."""
        for path in paths:
            self._writer.discard(self.path + b"/" + path)

    @staticmethod
    def _final_path(written: Written, flags: int) -> bytes:
        """A message without flags is recent and belongs in new/; one with flags can only stand in cur/."""
        return b"cur/%s:2,%s" % (written.base, letters_from_flags(flags)) if flags else b"new/" + written.base

    def _place(self, moves: Sequence[tuple[bytes, bytes]], written: list[Written]) -> None:
        """Rename files from tmp/ into place; all or none."""
        done: list[bytes] = []
        clean = self._are_clean() if self._batch is None else (False, False)
        try:
            for temporary, path in moves:
                self._ops.rename(temporary, self.path + b"/" + path)
                self._note_change(path)
                done.append(self.path + b"/" + path)
        except BaseException:
            for path in done:
                self._writer.discard(path)
            self._discard(written)
            raise
        if self._batch is None:
            self._adopt(clean, [path for _, path in moves])
        else:
            self._batch += [path for _, path in moves]

    def _are_clean(self) -> tuple[bool, bool]:
        return self._new.is_clean(), self._cur.is_clean()

    def _adopt(self, clean: tuple[bool, bool], paths: Sequence[bytes]) -> None:
        if clean[0] and any(path.startswith(b"new/") for path in paths):
            self._new.adopt()
        if clean[1] and any(path.startswith(b"cur/") for path in paths):
            self._cur.adopt()

    def _discard(self, written: Sequence[Written]) -> None:
        for one in written:
            self._ops.close(one.fd)
            self._writer.discard(one.temporary)

    def _flush_directories(self, paths: Iterable[bytes]) -> None:
        for name in sorted({path[:3] for path in paths}):
            self._ops.flush_path(self.path + b"/" + name)

    @contextlib.contextmanager
    def delivering(self) -> Iterator[None]:
        """What it costs to notice other programs is paid once for the batch; new UIDs are written down later (``write_uids``)."""
        clean = self._are_clean()
        batch: list[bytes] = []
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
            self._adopt(clean, batch)

    def deliver(self, message: NewMessage, flags: int, pending: list[Pending], *, distrust: bool) -> Added:
        queue_id = message.queue_id
        if queue_id is not None:
            uid = self._delivered.get(queue_id)
            if uid is not None and distrust:
                self._queue_ids()[queue_id] = self._delivered.pop(queue_id)
                uid = None
            if uid is not None:  # also when its owner has deleted it since: it was delivered
                return Added(uid, 0, None, int(message.internal_date_s), is_new=False)
            if queue_id in self._queue_ids():
                found = self._mend(queue_id, message, pending, distrust=distrust)
                if found is not None:
                    return found
        (added,) = self.add([(message, flags)], durable=False, pending=pending)
        if queue_id is not None:
            self._remember(queue_id, added.uid)
        return added

    def _remember(self, queue_id: str, uid: int) -> None:
        self._queue_ids().pop(queue_id, None)  # not before: where mending fails, the next attempt must find it
        if len(self._delivered) >= MAX_REMEMBERED:
            del self._delivered[next(iter(self._delivered))]
        self._delivered[queue_id] = uid

    def _mend(self, queue_id: str, message: NewMessage, pending: list[Pending], *, distrust: bool) -> Added | None:
        """A delivery from before the last start is repeated: keep the file if it is whole, else put this one in its place."""
        uid = self._queue_ids()[queue_id]
        position = self.table.position(uid)
        if position < 0:
            return None
        path = self.path + b"/" + self._path_of(position)
        if distrust or not self._writer.matches(path, message):
            written = self._writer.write(message)
            base = self._bases[position]
            if crlf_size_of(base) != written.size or file_size_of(base) != file_size_of(written.base):
                self._discard([written])  # another message under this id: not ours to replace
                return None
            self._place([(written.temporary, self._path_of(position))], [written])
            pending.append(Pending(written.fd, path))
        else:
            pending.append(Pending(-1, path))
        self._remember(queue_id, uid)
        return Added(uid, self.table.sizes[position], None, int(message.internal_date_s), is_new=False)

    # Changing

    def claim_recent(self) -> list[int]:
        claimed = sorted(self.table.recent)
        clean = self._are_clean()
        moved = []
        try:
            for uid in claimed:
                position = self.table.position(uid)
                if position >= 0 and not self._in_cur[position]:
                    path = b"cur/%s:2," % self._bases[position]
                    if self._rename_entry(position, path):
                        moved.append(path)
            self.table.recent.clear()
        except OSError as error:
            # The directory cannot grow. The rest stays new; people must be able to open a mailbox to make room.
            if error.errno not in NO_SPACE:
                raise
        if moved:
            self._adopt(clean, [b"new/", b"cur/"])
        return [uid for uid in claimed if self.table.position(uid) >= 0]

    def _rename_entry(self, position: int, path: bytes) -> bool:
        """Rename a message's file; False when it is not where it was, which the next rescan sorts out."""
        old = self._path_of(position)
        try:
            self._ops.rename(self.path + b"/" + old, self.path + b"/" + path)
        except FileNotFoundError:
            return False
        self._note_change(old)
        self._note_change(path)
        self._move_entry(position, path)
        return True

    def set_flags(self, changes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        clean = self._are_clean()
        usual: list[tuple[int, int]] = []
        others: list[tuple[int, int]] = []
        for change in changes:
            is_usual = self._in_cur[change[0]] and (not self._odd or self.table.uids[change[0]] not in self._odd)
            (usual if is_usual else others).append(change)
        took = self._rename_usual(usual)
        for position, flags in others:
            old = self._path_of(position)
            path = b"cur/%s:2,%s" % (self._bases[position], letters_from_flags(flags, flags_from_letters(split_name(old)[1] or b"")[1]))
            was_recent = self.table.uids[position] in self.table.recent
            if old == path or self._rename_entry(position, path):
                took.append((position, flags))
                self._unflushed.add(old[:3])
            if was_recent:  # it left new/, but no session was told of it yet
                self.table.recent.add(self.table.uids[position])
        if took:
            self._adopt(clean, [b"new/", b"cur/"])
            self._unflushed.add(b"cur")
        return took

    def flush_flags(self) -> None:
        self._flush_directories(self._unflushed)
        self._unflushed.clear()

    def _rename_usual(self, changes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Give messages in cur/ whose names say nothing but their flags other ones; return those that took."""
        if not changes:
            return []
        rename, table_flags, bases = self._ops.rename_within, self.table.flags, self._bases
        took = []
        renames = 0
        try:
            directory = self._ops.open_read(self.path + b"/cur")  # short names spare the kernel the way from the root for each
        except FileNotFoundError:
            return []
        try:
            for change in changes:
                position, flags = change
                stem = bases[position] + b":2,"
                old, new = letters_from_flags(table_flags[position]), letters_from_flags(flags)
                if old != new:
                    try:
                        rename(directory, stem + old, stem + new)
                    except FileNotFoundError:  # the next rescan sorts it out
                        continue
                    renames += 1
                table_flags[position] = flags
                took.append(change)
        finally:
            self._ops.close(directory)
            self._cur.expect(2 * renames)
        return took

    def remove(self, positions: Sequence[int]) -> None:
        clean = self._are_clean()
        paths = [self._path_of(position) for position in positions]
        done = 0
        try:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
                    self._ops.unlink(self.path + b"/" + path)
                    self._note_change(path)
                done += 1
        finally:
            self._forget(positions[:done])
            self._adopt(clean, paths[:done])
        self._flush_directories(paths)

    # Copying

    def copy_to(self, positions: Sequence[int], flags: Sequence[int], other: Folder) -> list[int]:
        target = cast("MaildirFolder", other)  # one account, one format
        made: list[tuple[bytes, bytes]] = []
        try:
            for position, bits in zip(positions, flags, strict=True):
                base, path = target._copy_name(self._dated_base(position), bits)  # noqa: SLF001  - the same class
                self._link(self.path + b"/" + self._path_of(position), target.path + b"/" + path)
                target._note_change(path)  # noqa: SLF001
                made.append((base, path))
            return target._take_copies(made)  # noqa: SLF001
        except BaseException:
            target._take_back([path for _, path in made])  # noqa: SLF001
            raise

    def _dated_base(self, position: int) -> bytes:
        """Return a base name that begins with the internal date; another program's may not."""
        base = self._bases[position]
        if is_ours(base):
            return base
        stem, comma, sizes = base.partition(b",")
        return b"%d.%b%b%b" % (self.dates(position)[0], stem.partition(b".")[2], comma, sizes)

    def _copy_name(self, base: bytes, flags: int) -> tuple[bytes, bytes]:
        """Return a base name that is new here but tells the same date and sizes, and its path."""
        stem, comma, sizes = base.partition(b",")
        renamed = self._writer.copy_stem(stem) + comma + sizes
        return renamed, b"cur/%s:2,%s" % (renamed, letters_from_flags(flags))

    def _link(self, source: bytes, destination: bytes) -> None:
        try:
            self._ops.link(source, destination)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            self._writer.copy_file(source, destination)

    def _take_copies(self, made: Sequence[tuple[bytes, bytes]]) -> list[int]:
        uids = [self._insert(base, path, 0) for base, path in made]
        self.table.recent.update(uids)
        self.flush_uids()
        self._flush_directories([path for _, path in made])
        return uids

    def move_to(self, positions: Sequence[int], flags: Sequence[int], other: Folder) -> list[int]:
        target = cast("MaildirFolder", other)
        clean = self._are_clean()
        made: list[tuple[bytes, bytes]] = []
        gone: list[int] = []
        old_paths: list[bytes] = []
        try:
            for position, bits in zip(positions, flags, strict=True):
                base, path = target._copy_name(self._dated_base(position), bits)  # noqa: SLF001
                old = self._path_of(position)
                self._ops.rename(self.path + b"/" + old, target.path + b"/" + path)
                self._note_change(old)
                target._note_change(path)  # noqa: SLF001
                made.append((base, path))
                gone.append(position)
                old_paths.append(old)
        except BaseException:
            for (_, path), old in zip(made, old_paths, strict=True):
                self._ops.rename(target.path + b"/" + path, self.path + b"/" + old)
            raise
        self._forget(gone)
        self._adopt(clean, old_paths)
        uids = target._take_copies(made)  # noqa: SLF001
        self._flush_directories(old_paths)
        return uids

    # Reading

    def open(self, position: int) -> BinaryIO:
        return open_stored(self._ops.open_read(self.path + b"/" + self._path_of(position)))

    def queue_id(self, position: int) -> QueueId | None:
        found = queue_id_of(self._bases[position])
        return None if found is None else QueueId(found)
