r"""FETCH: flags from memory, summaries by the hundred, bodies by the batch, large ones piece by piece.

Owns the order of work: one hop to a thread brings a batch of messages, its
responses are joined, and between batches other sessions have their turn. A
section that is not peeked at sets ``\Seen``, in the hop that read it, and tells FLAGS.

A message that another session removed is passed over; its UID and FLAGS are
still known and told. FETCH by number then ends with NO [EXPUNGEISSUED], and
the EXPUNGE response follows with the next command that may bring it (RFC 2180
section 4.1.2, RFC 5530); UID FETCH ends with OK (RFC 3501 section 6.4.8).

Sources:  RFC 3501 sections 6.4.5 and 7.4.2, RFC 3516 section 4.2 (BINARY), RFC 7162 section 3.1.4 (CHANGEDSINCE, MODSEQ),
          RFC 9394 section 3.3 (PARTIAL), RFC 9586 section 3.3 (UIDFETCH).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from appliance.message.structure import without_global
from appliance.model.errors import ApplianceError, ExpungedError
from appliance.model.ids import ModSeq, Uid
from appliance.model.mailbox import Flag, FlagAction, StoreResult, Summary
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.fetch_items import Attribute, BinarySection, BodySection, FetchItem
from appliance.protocols.imap.responses import internal_date
from appliance.protocols.imap.state import State
from appliance.services.imap.body import BodyBatch, BodyReader, LargeSection, MessageBody, Section, SectionValue, read_piece
from appliance.services.imap.details import DetailReader, needs_details, save_date
from appliance.services.imap.errors import Reply, ok, reply_to
from appliance.services.imap.limits import limit_reply, newest, refuse_range
from appliance.services.imap.news import ROWS
from appliance.services.imap.qresync import changed_since, require_qresync, tell_vanished
from appliance.services.imap.selection import Selected
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware, is_aware, uses_uids

__all__ = ["HANDLERS", "TruncatedMessageError", "fetch", "tell_messages"]

SUMMARY_BATCH = 500
BODY_BATCH = 64
PIECE_BYTES = 262_144

_FROM_VIEW = frozenset({Attribute.UID, Attribute.FLAGS, Attribute.MODSEQ})
_SEEN = int(Flag.SEEN)


class TruncatedMessageError(Exception):
    """A message became shorter while it was sent; its literal cannot be completed, so the connection must end."""


async def fetch(session: Session, command: commands.Fetch) -> Reply | None:
    vanished, since, partial = command.modifiers.vanished, command.modifiers.changed_since, command.modifiers.partial
    if vanished:
        require_qresync(session)
    await session.sync(expunge=vanished)
    if session.core.state is State.LOGOUT:
        return None
    selected = session.selected
    items = _items(session, command)
    if Attribute.MODSEQ in items:
        become_aware(session)
    if vanished and since is not None:
        await tell_vanished(session, selected, since, command.messages)
    positions: Sequence[int] = list(chain.from_iterable(selected.view.positions(command.messages, uid=command.uid)))
    if partial is not None:  # before CHANGEDSINCE (RFC 9394 section 3.4)
        positions = positions[partial.slice(len(positions))]
        refusal = refuse_range(session, len(positions))
        if refusal is not None:
            return refusal
    if since is not None:
        positions = changed_since(selected.view, positions, since)
    wanted, positions = positions, newest(session, positions)
    if len(positions) < len(wanted):
        positions = positions[::-1]  # from the highest uid down (RFC 9738 section 3.1)
    reply = await _send(session, selected, command, positions, items)
    return limit_reply(session, reply, len(positions), selected.view.uids[positions[-1]] if positions else 0, len(wanted))


async def _send(
    session: Session, selected: Selected, command: commands.Fetch, positions: Sequence[int], items: Sequence[FetchItem]
) -> Reply:
    if _FROM_VIEW.issuperset(items):
        await _send_flags(session, selected, positions, items)
        return ok("Fetch completed")
    work = _Fetch(session, selected, items)
    await (work.send_bodies(positions) if work.sections else work.send_summaries(positions))
    if work.error is not None:
        return session.explain(work.error)
    if work.missed and not command.uid:
        return reply_to(ExpungedError())
    return ok("Fetch completed")


def _items(session: Session, command: commands.Fetch) -> Sequence[FetchItem]:
    """Return what is to be told; UID FETCH implies UID, which UIDFETCH has at its head, and CHANGEDSINCE implies MODSEQ."""
    items = command.items
    if command.uid and Attribute.UID not in items and not uses_uids(session):
        items = (Attribute.UID, *items)
    return items if command.modifiers.changed_since is None or Attribute.MODSEQ in items else (*items, Attribute.MODSEQ)


async def tell_messages(session: Session, selected: Selected, positions: Sequence[int], items: Sequence[FetchItem]) -> None:
    """Send FETCH responses that nobody asked for (RFC 5465 section 5.2)."""
    if _FROM_VIEW.issuperset(items):
        await _send_flags(session, selected, positions, items)
        return
    work = _Fetch(session, selected, items)
    await (work.send_bodies(positions) if work.sections else work.send_summaries(positions))


async def _send_flags(session: Session, selected: Selected, positions: Sequence[int], items: Sequence[FetchItem]) -> None:
    """The command that every client starts with, ``FETCH 1:* (UID FLAGS)``: from packed arrays, no file, no thread."""
    view = selected.view
    uid, flags, modseq, uid_only = Attribute.UID in items, Attribute.FLAGS in items, Attribute.MODSEQ in items, uses_uids(session)
    for low in range(0, len(positions), ROWS):
        batch = positions[low : low + ROWS]
        if modseq or uid_only:
            session.send(view.sync_rows(batch, uid=uid, flags=flags, modseq=modseq, uid_only=uid_only))
        else:
            session.send(view.flag_rows(batch, uid=uid, flags=flags))
        await session.checkpoint()


_FROM_SUMMARY: dict[FetchItem, Callable[[Summary], bytes]] = {
    Attribute.INTERNALDATE: lambda summary: b"INTERNALDATE " + internal_date(summary.internal_date_s),
    Attribute.SIZE: lambda summary: b"RFC822.SIZE %d" % summary.size_bytes,
    Attribute.ENVELOPE: lambda summary: b"ENVELOPE " + summary.envelope,
    Attribute.BODY: lambda summary: b"BODY " + summary.body,
    Attribute.BODYSTRUCTURE: lambda summary: b"BODYSTRUCTURE " + summary.body_structure,
    Attribute.SAVEDATE: save_date,
}


_STRUCTURES = frozenset({Attribute.BODY, Attribute.BODYSTRUCTURE})


class _Fetch:
    """One FETCH that needs more than flags."""

    def __init__(self, session: Session, selected: Selected, items: Sequence[FetchItem]) -> None:
        self._session = session
        self._selected = selected
        self._items = items
        self.sections = [item for item in items if isinstance(item, BodySection | BinarySection)]
        self._sets_seen = not selected.read_only and not all(section.peek for section in self.sections)
        self._reader = BodyReader(
            selected.mailbox, self.sections, summaries=any(item in _FROM_SUMMARY for item in items), spool=session.shared.spool
        )
        self._details = DetailReader(selected.mailbox, items) if needs_details(items) else None
        self._uid_only = uses_uids(session)
        self._modseqs: Mapping[Uid, ModSeq] = {}
        """Of messages that became seen, later than what the view knows."""
        self.missed = False
        self.error: ApplianceError | None = None

    # Without bodies

    async def send_summaries(self, positions: Sequence[int]) -> None:
        view = self._selected.view
        for low in range(0, len(positions), SUMMARY_BATCH):
            batch = positions[low : low + SUMMARY_BATCH]
            summaries = await self._session.run_blocking(self._summarise, view.uids_at(batch))
            rows: list[bytes] = []
            for at in batch:
                summary = summaries.get(Uid(view.uids[at]))
                self.missed |= summary is None
                pieces = [piece for item in self._items if (piece := self._piece(at, item, summary)) is not None]
                if pieces:
                    rows.append(b"%b%b)\r\n" % (view.head(at, uid_only=self._uid_only), b" ".join(pieces)))
            self._session.send(b"".join(rows))
            await self._session.checkpoint()

    def _summarise(self, uids: Sequence[Uid]) -> dict[Uid, Summary]:
        if self._details is not None:
            self._details.load(uids)
        return {summary.uid: summary for summary in self._selected.mailbox.summaries(uids)}

    def _piece(self, at: int, item: FetchItem, summary: Summary | None) -> bytes | None:
        """Return what a message answers to an item without parameters; None if it is gone."""
        view = self._selected.view
        if item is Attribute.UID:
            return b"UID %d" % view.uids[at]
        if item is Attribute.FLAGS:
            return view.flags_item(at)
        if item is Attribute.MODSEQ:
            modseq = self._modseqs.get(Uid(view.uids[at])) or view.modseqs_at([at])[0]
            return b"MODSEQ (%d)" % modseq if modseq else None
        render = _FROM_SUMMARY.get(item)
        if render is not None:
            if summary is None:
                return None
            piece = render(summary)
            # message/global stands in the grammar of RFC 9051 alone, and beside UTF8=ACCEPT.
            return without_global(piece) if item in _STRUCTURES and not self._session.core.utf8 else piece
        return self._details.render(view.uids[at], item) if self._details is not None else None

    # With bodies

    async def send_bodies(self, positions: Sequence[int]) -> None:
        view = self._selected.view
        reader = self._reader
        # The tree of the last large message outlives the command: its parts are fetched in pieces.
        reader.structure = self._selected.structure
        done = 0
        while done < len(positions):
            waiting = positions[done : done + BODY_BATCH]
            batch, seen = await self._session.run_blocking(self._read, view.uids_at(waiting))
            self._selected.structure = reader.structure
            self.error = self.error or batch.error
            try:
                for at in waiting[: batch.taken]:
                    await self._send_message(at, batch.bodies.get(Uid(view.uids[at])), seen)
            finally:
                for body in batch.bodies.values():
                    body.close()
            done += batch.taken
            await self._session.checkpoint()

    def _read(self, uids: Sequence[Uid]) -> tuple[BodyBatch, StoreResult]:
        r"""Read a batch and set ``\Seen`` on what was read, in one hop."""
        batch = self._reader.read_batch(uids)
        if self._details is not None:
            self._details.load(list(batch.bodies))
        view = self._selected.view
        unseen: list[Uid] = []
        if self._sets_seen:
            for uid in batch.bodies:
                at = view.position(uid)
                if at is not None and not view.flags[at] & _SEEN:
                    unseen.append(uid)
        if not unseen:
            return batch, StoreResult()
        try:
            return batch, self._selected.mailbox.store_flags(unseen, FlagAction.ADD, _SEEN)
        except ApplianceError as error:
            # The message is there to be read, whether or not that can be noted.
            batch.error = batch.error or error
            return batch, StoreResult()

    async def _send_message(self, at: int, body: MessageBody | None, seen: StoreResult) -> None:
        session, view = self._session, self._selected.view
        self.missed |= body is None
        newly_seen = body is not None and body.uid in seen.changed
        if body is not None and newly_seen:
            view.set_told(at, seen.changed[body.uid])
            self._modseqs = seen.modseqs
        pieces = self._compose(at, body)
        if newly_seen:
            pieces += [part for item in self._told_unasked() if (more := self._piece(at, item, None)) for part in (b" ", more)]
        if not pieces:
            return
        # The first piece is the space between items.
        pieces[0] = view.head(at, uid_only=self._uid_only)
        pieces.append(b")\r\n")
        held = [piece for piece in pieces if not isinstance(piece, LargeSection)]
        if len(held) == len(pieces):
            session.send(b"".join(held))
        else:
            for piece in pieces:
                if isinstance(piece, LargeSection):
                    await self._stream(piece)
                else:
                    session.send(piece)
        session.messages += 1

    def _told_unasked(self) -> Iterator[Attribute]:
        r"""Yield what goes with ``\Seen`` set by the way and was not asked for (RFC 7162 section 3.2.4)."""
        wanted = (Attribute.FLAGS, Attribute.UID, Attribute.MODSEQ) if is_aware(self._session) else (Attribute.FLAGS,)
        return (item for item in wanted if item not in self._items)

    def _compose(self, at: int, body: MessageBody | None) -> "list[bytes | LargeSection]":
        """Return the response's inner pieces, each item with a space before it; of a message that is gone what is known."""
        pieces: list[bytes | LargeSection] = []
        values = iter(body.values if body is not None else ())
        summary = body.summary if body is not None else None
        for item in self._items:
            if not isinstance(item, BodySection | BinarySection):
                piece = self._piece(at, item, summary)
                if piece is not None:
                    pieces += [b" ", piece]
            elif body is not None:
                _add_section(pieces, item, next(values))
        return pieces

    async def _stream(self, section: LargeSection) -> None:
        session = self._session
        session.inside_literal = True
        sent = 0
        while sent < section.length:
            data = await session.run_blocking(read_piece, section, sent, min(PIECE_BYTES, section.length - sent))
            if not data:
                raise TruncatedMessageError(f"{section.length - sent} octets of a message are gone")
            session.send(data if section.is_decoded else _without_nul(data))
            await session.flush()
            sent += len(data)
        session.inside_literal = False


def _without_nul(data: bytes) -> bytes:
    """RFC 3501 section 9: a literal holds no NUL; like Dovecot we show 0x80 in its place. BINARY shows what is there."""
    return data.replace(b"\0", b"\x80") if b"\0" in data else data


def _add_section(pieces: "list[bytes | LargeSection]", item: Section, value: SectionValue) -> None:
    """What is decoded goes out as literal8: only that may hold NUL (RFC 3516 section 4.2)."""
    mark = b"~" if isinstance(item, BinarySection) else b""
    if value is None:
        pieces += [b" ", item.label + b" NIL"]
    elif isinstance(value, int):
        pieces += [b" ", b"%b %d" % (item.label, value)]
    elif isinstance(value, bytes):
        pieces += [b" ", b"%b %b{%d}\r\n" % (item.label, mark, len(value)), value if mark else _without_nul(value)]
    else:
        pieces += [b" ", b"%b %b{%d}\r\n" % (item.label, mark, value.length), value]


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Fetch: fetch,
}
