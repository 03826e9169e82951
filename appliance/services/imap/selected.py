"""SELECT and what can be done with the selected mailbox as a whole, and COPY and MOVE out of it.

Sources:  RFC 3501 sections 6.3.1, 6.3.2 and 6.4, RFC 3691 (UNSELECT), RFC 4315
          (UID EXPUNGE, COPYUID), RFC 6851 (MOVE), RFC 2180 section 4 (messages gone),
          RFC 7162 section 3.1.2 (HIGHESTMODSEQ), section 3.2.11 (CLOSED).
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from appliance.model.errors import ApplianceError
from appliance.model.ids import MailboxName, QueueId, Uid
from appliance.model.mailbox import CopyResult, Flag
from appliance.model.ports import Mailbox, MailStore
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.responses import copy_code
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.limits import limit_reply, newest, refuse_copies
from appliance.services.imap.progress import reporting
from appliance.services.imap.qresync import require_qresync, resynchronise
from appliance.services.imap.quota import add_and_warn
from appliance.services.imap.rev2 import recents_told, selected_list, speaks_rev2
from appliance.services.imap.selection import Selected, tell_flags
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware, note_highest, uses_uids
from appliance.services.imap.view import MailboxView

__all__ = ["HANDLERS", "check", "close", "copy", "examine", "expunge", "move", "select", "unselect"]

_EXPUNGE_BATCH = 1_000
_MOST_TOLD = 100
"""Messages of one command whose end the log tells each by itself."""


def _open(store: MailStore, name: MailboxName, read_only: bool) -> tuple[Mailbox, frozenset[Uid]]:
    mailbox = store.open_mailbox(name)
    return mailbox, frozenset() if read_only else mailbox.claim_recent()


async def _select(session: Session, command: commands.Select | commands.Examine, *, read_only: bool) -> Reply:
    name, parameters = command.mailbox, command.parameters
    if parameters.qresync is not None:
        require_qresync(session)
    if session.opened is not None:
        # Told although the SELECT may fail: even then nothing is selected any more (RFC 3501 section 6.3.1, RFC 7162 section 3.2.11).
        session.deselect()
        session.note("Previous mailbox is closed", b"CLOSED")
    if parameters.condstore:
        become_aware(session)
    mailbox, recent = await session.run_blocking(_open, session.store, name, read_only)
    snapshot = mailbox.snapshot()
    view = MailboxView(snapshot, recents_told(session, recent))
    selected = Selected(mailbox, view, read_only=read_only)
    await session.select(selected)
    tell_flags(session, selected)
    session.send(b"* %d EXISTS\r\n" % len(view))
    if not speaks_rev2(session):
        session.send(b"* %d RECENT\r\n" % view.recent_count)
        unseen = view.first_unseen()
        if unseen is not None and not uses_uids(session):
            session.note("First unseen message", b"UNSEEN %d" % unseen)
    session.note("UIDs are valid", b"UIDVALIDITY %d" % snapshot.uid_validity)
    session.note("Predicted next UID", b"UIDNEXT %d" % snapshot.uid_next)
    session.send(selected_list(session, mailbox.name))
    session.note("Stays with the mailbox", b"MAILBOXID (%b)" % mailbox.mailbox_id.encode("ascii"))  # RFC 8474 section 4.2
    note_highest(session)
    if parameters.qresync is not None:
        await resynchronise(session, selected, parameters.qresync)
    return ok("Mailbox is open for reading" if read_only else "Mailbox is open", b"READ-ONLY" if read_only else b"READ-WRITE")


async def select(session: Session, command: commands.Select) -> Reply:
    return await _select(session, command, read_only=False)


async def examine(session: Session, command: commands.Examine) -> Reply:
    return await _select(session, command, read_only=True)


async def check(session: Session, command: commands.Check) -> Reply:
    """Everything is durable at once here; CHECK looks for news like NOOP."""
    return ok("Check completed")


async def unselect(session: Session, command: commands.Unselect) -> Reply:
    session.deselect()
    return ok("Mailbox is closed, nothing was expunged")


async def close(session: Session, command: commands.Close) -> Reply:
    """Remove what is marked deleted without telling, and deselect."""
    selected = session.selected
    if not selected.read_only:
        await _expunge(session, selected, _deleted(selected))
    session.deselect()
    return ok("Mailbox is closed")


async def expunge(session: Session, command: commands.Expunge) -> Reply:
    selected = session.selected
    if selected.read_only:
        return no("Mailbox is open for reading only", b"NOPERM")
    doomed = _deleted(selected)
    if command.uids is not None:
        view = selected.view
        named = set(view.uids_at(chain.from_iterable(view.positions(command.uids, uid=True))))
        doomed = [uid for uid in doomed if uid in named]
    # EXPUNGE itself must not be limited (RFC 9738 section 3.1).
    done = doomed if command.uids is None else newest(session, doomed)
    await _expunge(session, selected, done)
    return limit_reply(session, ok("Expunge completed"), len(done), done[0] if done else 0, len(doomed))


def _deleted(selected: Selected) -> list[Uid]:
    r"""Return the uids that bear ``\Deleted`` now, whoever set it."""
    snapshot = selected.mailbox.snapshot()
    mark = int(Flag.DELETED)
    return [Uid(uid) for uid, flags in zip(snapshot.uids, snapshot.flags, strict=True) if flags & mark]


async def _expunge(session: Session, selected: Selected, uids: Sequence[Uid]) -> None:
    origins: list[QueueId] = []
    async with reporting(session, len(uids)) as progress:
        for low in range(0, len(uids), _EXPUNGE_BATCH):
            origins += await session.run_blocking(
                _expunge_batch, selected.mailbox, uids[low : low + _EXPUNGE_BATCH], _MOST_TOLD - len(origins)
            )
            progress.done = low + _EXPUNGE_BATCH
    if uids:
        session.shared.mail_log.messages_expunged(
            session_id=session.connection.session_id,
            service="imap",
            client=session.connection.peer.host,
            account=session.account or "",
            mailbox=selected.mailbox.name,
            count=len(uids),
            queue_ids=origins,
        )


def _expunge_batch(mailbox: Mailbox, uids: Sequence[Uid], most: int) -> Sequence[QueueId]:
    """Expunge; return the queue ids of the first so many."""
    origins = mailbox.origins(uids[: max(0, most)])
    mailbox.expunge(uids)
    return origins


def _named(selected: Selected, command: commands.Copy | commands.Move) -> list[Uid]:
    view = selected.view
    return view.uids_at(chain.from_iterable(view.positions(command.messages, uid=command.uid)))


def _is_nothing(result: CopyResult, *, lenient: bool) -> Reply | None:
    """A uid that is gone is no error (RFC 3501 section 6.4.8); a sequence number that is gone is one (RFC 2180 section 4.4)."""
    if result.source:
        return None
    return ok("No such messages, nothing done") if lenient else no("These messages are gone", b"EXPUNGEISSUED")


async def copy(session: Session, command: commands.Copy) -> Reply:
    selected = session.selected
    try:
        named = _named(selected, command)
        refusal = refuse_copies(session, named)
        if refusal is not None:
            return refusal
        async with reporting(session, len(named)):
            result = await add_and_warn(session, selected.mailbox.copy_to, named, command.mailbox)
    except ApplianceError as error:
        return session.explain(error, creating=True)
    return _is_nothing(result, lenient=command.uid or not named) or ok(
        "Copy completed", copy_code(result.uid_validity, result.source, result.destination)
    )


async def move(session: Session, command: commands.Move) -> Reply:
    """COPYUID goes out before the EXPUNGE responses, which follow with the news (RFC 6851 section 4.3)."""
    selected = session.selected
    if selected.read_only:
        return no("Mailbox is open for reading only", b"NOPERM")
    try:
        wanted = _named(selected, command)
        named = newest(session, wanted)
        async with reporting(session, len(named)):
            result = await session.run_blocking(selected.mailbox.move_to, named, command.mailbox)
    except ApplianceError as error:
        return session.explain(error, creating=True)
    nothing = _is_nothing(result, lenient=command.uid or not named)
    if nothing is not None:
        return nothing
    session.core.send_untagged(Condition.OK, "Moved", copy_code(result.uid_validity, result.source, result.destination))
    return limit_reply(session, ok("Move completed"), len(named), named[0] if named else 0, len(wanted))


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Select: select,
    commands.Examine: examine,
    commands.Check: check,
    commands.Close: close,
    commands.Unselect: unselect,
    commands.Expunge: expunge,
    commands.Copy: copy,
    commands.Move: move,
}
