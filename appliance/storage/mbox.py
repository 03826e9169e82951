"""One mbox file: appending messages, changing flags in place, taking messages out.

Deliveries append and touch nothing else but ten digits (the last uid). Flags
change in place where the fields have room, which ours always have. Expunge
and the rest go through ``storage.mbox_rewrite``.

Fails: ``OSError``; ``InUseError`` when another program holds the lock too long;
a failed append is cut off again.
Does not: keep a missing line end at the very end of a message, or hidden
fields (Status, X-UID ...) that a sender wrote.
Sources: RFC 4155, Dovecot "Mbox Mailbox Format".
"""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from appliance.model.content import Content, MemoryContent
from appliance.model.errors import InUseError
from appliance.model.ids import QueueId
from appliance.model.mailbox import NewMessage
from appliance.storage.fileops import NO_SPACE
from appliance.storage.folder import Added, Folder, Pending
from appliance.storage.keywords import SYSTEM_MASK
from appliance.storage.lineends import CHUNK_BYTES, IN_MEMORY_BYTES, CrlfReader, crlf_size, iter_lf, to_crlf, to_lf
from appliance.storage.mbox_scan import MAX_HEADER_BYTES, Entry, read_header
from appliance.storage.mbox_state import PROBE_BYTES, MboxState
from appliance.storage.mbox_text import (
    State,
    filter_header,
    from_line,
    parse_from_date,
    parse_state,
    quote,
    quote_pieces,
    state_fields,
    status_values,
    unquote,
    unquote_pieces,
)

__all__ = ["MboxFolder"]

MAX_REMEMBERED = 100_000
SAME_TIME_S = 2
"""A message that is so old when it is put in has been put in at its internal date."""


class _Appended(NamedTuple):
    offset: int
    length: int
    size: int
    data: bytes | None


class _StoredContent:
    """A message of a folder as ``Content``, for copying."""

    def __init__(self, folder: "MboxFolder", position: int, size: int) -> None:
        self._folder = folder
        self._position = position
        self.size = size

    def open(self) -> BinaryIO:
        return self._folder.open(self._position)


class MboxFolder(MboxState):
    """See ``Folder``."""

    _delivering_fd = -1
    _pending_path: bytes | None = None
    _spooled: tuple[int, int] = (0, -1)

    # Putting in

    def add(self, messages: Sequence[tuple[NewMessage, int]], *, durable: bool, pending: list[Pending] | None = None) -> list[Added]:
        with self._locked() as fd:
            added = self._append(fd, messages, durable=durable)
        if not durable and pending is not None:
            pending.append(Pending(-1, self.path, is_new_name=False))
        return added

    def _append(self, fd: int, messages: Sequence[tuple[NewMessage, int]], *, durable: bool) -> list[Added]:
        """Append messages; all or none. The file is locked and the table in step with it."""
        first_uid = uid = self.next_uid
        self.next_uid += len(messages)
        self._write_last_uid(fd)  # first: a uid that is not written down as given is not believed
        size = end = os.fstat(fd).st_size
        appended: list[tuple[Entry, Added]] = []
        try:
            end = self._end_with_blank_line(fd, end)
            for message, flags in messages:
                one = self._append_one(fd, end, message, flags, uid, is_first=not len(self.table) and uid == first_uid)
                entry = Entry(one.offset, one.length, State(uid=uid), uid=uid)
                appended.append((entry, Added(uid, one.size, one.data, int(message.internal_date_s))))
                end = one.offset + one.length
                uid += 1
            if durable:
                self._ops.flush(fd)
        except BaseException:
            self._ops.truncate(fd, size)
            raise
        self._uids_unflushed = not durable
        for (entry, one_added), (_, flags) in zip(appended, messages, strict=True):
            self._insert(entry)
            self.table.flags[-1] = flags
            self.table.sizes[-1] = one_added.size
        self._probe = os.pread(fd, PROBE_BYTES, appended[-1][0].offset)
        return [one_added for _, one_added in appended]

    def _end_with_blank_line(self, fd: int, end: int) -> int:
        """Make the file end so that a From_ line can follow; return the new end."""
        tail = os.pread(fd, 2, max(0, end - 2))
        missing = b"" if not end or tail in (b"\n\n", b"\n") else b"\n" if tail.endswith(b"\n") else b"\n\n"
        if missing:
            self._ops.write_at(fd, missing, end)
            for position in self._file_order()[-1:]:  # of no harm if the append fails: it is a length to read at most
                self._lengths[position] += len(missing)
        return end + len(missing)

    def _append_one(self, fd: int, offset: int, message: NewMessage, flags: int, uid: int, *, is_first: bool) -> _Appended:
        base = self._base() if is_first else b""
        keywords = self.keywords.of(flags)
        now_s = int(self._context.now_s())
        fields = state_fields(
            uid,
            flags & SYSTEM_MASK,
            is_old=False,
            keywords=keywords,
            queue_id=message.queue_id or "",
            saved_at_s=now_s if abs(now_s - message.internal_date_s) > SAME_TIME_S else 0,
            base=base,
        )
        start = from_line(message.reverse_path, message.internal_date_s) + fields
        if message.content.size <= IN_MEMORY_BYTES:
            with message.content.open() as source:
                header, body = _split(to_lf(source.read()))
            if body and not body.endswith(b"\n"):
                body += b"\n"
            stored = start + header + b"\n" + quote(body) + b"\n"
            self._ops.write_at(fd, stored, offset)
            data = to_crlf(header + b"\n" + body)
            return _Appended(offset, len(stored), len(data), data)
        return self._append_large(fd, offset, start, message)

    def _append_large(self, fd: int, offset: int, start: bytes, message: NewMessage) -> _Appended:
        pieces = iter_lf(message.content)
        head = b""
        for piece in pieces:
            head += piece
            if b"\n\n" in head or head.startswith(b"\n") or len(head) > MAX_HEADER_BYTES:
                break
        header, rest = _split(head)
        position = offset
        size = crlf_size(header) + 2
        self._ops.write_at(fd, start + header + b"\n", position)
        position += len(start) + len(header) + 1
        last = b"\n"

        def body() -> Iterator[bytes]:
            nonlocal size, last
            for piece in _chain(rest, pieces):
                size += crlf_size(piece) - (last.endswith(b"\r") and piece.startswith(b"\n"))
                last = piece[-1:]
                yield piece

        for piece in quote_pieces(body()):
            self._ops.write_at(fd, piece, position)
            position += len(piece)
        ending = b"\n" if last == b"\n" else b"\n\n"
        size += 0 if last == b"\n" else 2
        self._ops.write_at(fd, ending, position)
        return _Appended(offset, position + len(ending) - offset, size, None)

    @contextlib.contextmanager
    def delivering(self) -> Iterator[None]:
        with self._locked() as fd:
            self._delivering_fd = fd
            self._pending_path = None
            try:
                yield
            finally:
                self._delivering_fd = -1

    def deliver(self, message: NewMessage, flags: int, pending: list[Pending], *, distrust: bool) -> Added:
        fd, queue_id = self._delivering_fd, message.queue_id
        self._note_pending(pending)
        if queue_id is not None:
            uid = self._delivered.get(queue_id)
            if uid is not None and not distrust:  # also when its owner has deleted it since: it was delivered
                return Added(uid, 0, None, int(message.internal_date_s), is_new=False)
            if uid is not None:
                self._found[queue_id] = self._delivered.pop(queue_id)
            uid = self._found.get(queue_id)
            if uid is not None and (position := self.table.position(uid)) >= 0:
                if not distrust and self._matches(position, message):
                    self._remember(queue_id, uid)
                    return Added(uid, self.table.sizes[position], None, int(message.internal_date_s), is_new=False)
                self._take_out(fd, [position])  # where that fails it stays known, and the next attempt finds it
                self._late.removed.append(uid)
            self._found.pop(queue_id, None)
        (added,) = self._append(fd, [(message, flags)], durable=False)
        if queue_id is not None:
            self._remember(queue_id, added.uid)
        return added

    def _note_pending(self, pending: list[Pending]) -> None:
        if self._pending_path != self.path:
            self._pending_path = self.path
            pending.append(Pending(-1, self.path, is_new_name=False))

    def _remember(self, queue_id: str, uid: int) -> None:
        self._found.pop(queue_id, None)
        if len(self._delivered) >= MAX_REMEMBERED:
            del self._delivered[next(iter(self._delivered))]
        self._delivered[queue_id] = uid

    def _matches(self, position: int, message: NewMessage) -> bool:
        """Tell whether a stored message is exactly this one. Reads both."""
        with self._read(position) as stored:
            pieces = iter_lf(message.content)
            head = b""
            for piece in pieces:
                head += piece
                if b"\n\n" in head or head.startswith(b"\n") or len(head) > MAX_HEADER_BYTES:
                    break
            header, rest = _split(head)
            last = b"\n"
            for piece in _chain(to_crlf(header) + b"\r\n", (to_crlf(one) for one in _chain(rest, pieces))):
                if stored.read(len(piece)) != piece:
                    return False
                last = piece[-1:]
            return stored.read() == (b"" if last == b"\n" else b"\r\n")

    # Changing

    def claim_recent(self) -> list[int]:
        claimed = sorted(self.table.recent)
        if not claimed:
            return []
        changes = [(self.table.position(uid), self.table.flags[self.table.position(uid)]) for uid in claimed]
        self.table.recent.clear()
        try:
            self._change(changes, must=False)
        except InUseError:
            pass  # then they are recent once more after a restart, no harm
        except OSError as error:  # likewise; people must be able to open a mailbox to make room
            if error.errno not in NO_SPACE:
                raise
        return [uid for uid in claimed if self.table.position(uid) >= 0]

    def set_flags(self, changes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return self._change(changes, must=True)

    def flush_flags(self) -> None:
        """``set_flags`` has: it must hold the file locked anyhow."""

    def _change(self, changes: Sequence[tuple[int, int]], *, must: bool) -> list[tuple[int, int]]:
        """Write flags into the file: in place, or (``must``) by a rewrite where there is no room."""
        wanted = [(self.table.uids[position], flags) for position, flags in changes]
        took: list[tuple[int, int]] = []
        patches: list[tuple[int, bytes]] = []
        redo: set[int] = set()
        with self._locked() as fd:
            for uid, flags in wanted:
                position = self.table.position(uid)
                if position < 0:
                    continue
                took.append((position, flags))
                patch = self._flag_patch(fd, position, flags)
                if patch is None:
                    redo.add(position)
                else:
                    patches += patch
            for at, data in patches:
                self._ops.write_at(fd, data, at)
            if redo and must:
                before = {position: self.table.flags[position] for position, _ in took}
                for position, flags in took:
                    self.table.flags[position] = flags
                try:
                    first = min(redo, key=self._offsets.__getitem__)
                    self._rewrite(fd, first, redo=redo)
                except BaseException:
                    for position, flags in before.items():
                        self.table.flags[position] = flags
                    raise
            if patches and must:
                self._ops.flush(fd)
        return took

    def _flag_patch(self, fd: int, position: int, flags: int) -> list[tuple[int, bytes]] | None:
        offset = self._offsets[position]
        line, header, _ = read_header(fd, offset, self._lengths[position])
        is_old = self.table.uids[position] not in self.table.recent
        patch = self._patch(header, status_values(flags & SYSTEM_MASK, is_old=is_old, keywords=self.keywords.of(flags)))
        return None if patch is None else [(offset + len(line) + at, data) for at, data in patch]

    def remove(self, positions: Sequence[int]) -> None:
        uids = [self.table.uids[position] for position in positions]
        with self._locked() as fd:
            self._take_out(fd, self.table.positions(uids))

    def _take_out(self, fd: int, positions: Sequence[int]) -> None:
        if positions:
            first = min(positions, key=self._offsets.__getitem__)
            self._rewrite(fd, first, redo=set(), skip=frozenset(positions))

    # Copying

    def copy_to(self, positions: Sequence[int], flags: Sequence[int], other: Folder) -> list[int]:
        return self._transfer(positions, flags, other, is_move=False)

    def move_to(self, positions: Sequence[int], flags: Sequence[int], other: Folder) -> list[int]:
        return self._transfer(positions, flags, other, is_move=True)

    def _transfer(self, positions: Sequence[int], flags: Sequence[int], other: Folder, *, is_move: bool) -> list[int]:
        """Copy, and take out, while this file is locked: at places that were looked up before, another program may have put other messages."""
        uids = [self.table.uids[position] for position in positions]
        with self._locked() as fd:
            places = self.table.positions(uids)
            if is_complete := len(places) == len(uids):
                messages = [(self._as_new(place), bits) for place, bits in zip(places, flags, strict=True)]
                added = self._append(fd, messages, durable=True) if other is self else other.add(messages, durable=True)
                if is_move:
                    self._take_out(fd, self.table.positions(uids))
        if not is_complete:
            raise FileNotFoundError(self.path)  # another program took some of them: look again first
        return [one.uid for one in added]

    def _as_new(self, position: int) -> NewMessage:
        return NewMessage(self._content(position), float(self.dates(position)[0]), reverse_path=self._sender(position))

    def _content(self, position: int) -> Content:
        with self._read(position) as stream:
            size = stream.seek(0, io.SEEK_END)
            if size <= CHUNK_BYTES:
                stream.seek(0)
                return MemoryContent(stream.read())
        return _StoredContent(self, position, size)

    # Reading

    def open(self, position: int) -> BinaryIO:
        if self._is_locked:  # by us, for a copy
            return self._read(position)
        if self._is_as_seen():
            stream = self._read(position)
            if self._is_as_seen():
                return stream
            stream.close()
        self._drop_spooled()
        raise FileNotFoundError(self.path)  # another program changed it: look again first

    def _is_as_seen(self) -> bool:
        return self._identify(self._ops.status(self.path)) == self._seen

    def _read(self, position: int) -> BinaryIO:
        offset, length = self._offsets[position], self._lengths[position]
        if length > IN_MEMORY_BYTES:
            return self._read_large(position)
        fd = self._ops.open_read(self.path)
        try:
            data = os.pread(fd, length, offset)
            line, header, body_at = read_header(fd, offset, length)
        finally:
            self._ops.close(fd)
        if not line.startswith(b"From "):
            raise FileNotFoundError(self.path)
        return io.BytesIO(to_crlf(filter_header(header) + b"\n" + unquote(_without_separator(data[body_at:]))))

    def _read_large(self, position: int) -> BinaryIO:
        """Unquote into a file without a name, kept for the next reader of the same message."""
        uid = self.table.uids[position]
        if self._spooled[0] != uid:
            self._drop_spooled()
            self._spooled = (uid, self._spool(position))
        fd = os.dup(self._spooled[1])
        return io.BufferedReader(CrlfReader(fd, 0, os.fstat(fd).st_size), CHUNK_BYTES)

    def _spool(self, position: int) -> int:
        name = self.path + b".reading"
        with contextlib.suppress(FileNotFoundError):
            self._ops.unlink(name)
        copy = self._ops.create(name)
        try:
            self._ops.unlink(name)
            fd = self._ops.open_read(self.path)
            try:
                offset, length = self._offsets[position], self._lengths[position]
                _, header, body_at = read_header(fd, offset, length)
                self._ops.write(copy, filter_header(header) + b"\n")
                ends_blank = os.pread(fd, 2, offset + length - 2) == b"\n\n"
                for piece in unquote_pieces(_ranges(fd, offset + body_at, length - body_at - ends_blank)):
                    self._ops.write(copy, piece)
            finally:
                self._ops.close(fd)
        except BaseException:
            self._ops.close(copy)
            raise
        return copy

    def _drop_spooled(self) -> None:
        if self._spooled[1] >= 0:
            self._ops.close(self._spooled[1])
        self._spooled = (0, -1)

    def __del__(self) -> None:
        if self._spooled[1] >= 0:
            os.close(self._spooled[1])

    def _header(self, position: int) -> tuple[bytes, bytes]:
        fd = self._ops.open_read(self.path)
        try:
            line, header, _ = read_header(fd, self._offsets[position], self._lengths[position])
        finally:
            self._ops.close(fd)
        if not line.startswith(b"From "):
            raise FileNotFoundError(self.path)
        return line, header

    def dates(self, position: int) -> tuple[int, int]:
        line, header = self._header(position)
        if not (self._is_locked or self._is_as_seen()):
            raise FileNotFoundError(self.path)
        at_s = parse_from_date(line) or int(self._ops.status(self.path).st_mtime)
        return at_s, parse_state(header).saved_at_s or at_s

    def _sender(self, position: int) -> str:
        sender = self._header(position)[0].split(b" ")[1].decode("utf-8", "replace")
        return "" if sender == "MAILER-DAEMON" else sender

    def queue_id(self, position: int) -> QueueId | None:
        try:
            return QueueId(parse_state(self._header(position)[1]).queue_id) or None
        except FileNotFoundError:
            return None


def _split(message: bytes) -> tuple[bytes, bytes]:
    """Return a message's header section (LF) without hidden fields, and its body as far as it is there."""
    if message.startswith(b"\n"):
        header, body = b"", message[1:]
    else:
        header, _, body = message.partition(b"\n\n")
        header = filter_header(header + b"\n") if header else b""
        if header.endswith(b"\n\n"):
            header = header[:-1]
    return header, body


def _without_separator(body: bytes) -> bytes:
    """Drop the blank line that ends a message in the file."""
    return body[:-1] if body == b"\n" or body.endswith(b"\n\n") else body


def _chain(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from pieces


def _ranges(fd: int, offset: int, length: int) -> Iterator[bytes]:
    while length > 0:
        data = os.pread(fd, min(length, CHUNK_BYTES), offset)
        if not data:
            return
        yield data
        offset += len(data)
        length -= len(data)
