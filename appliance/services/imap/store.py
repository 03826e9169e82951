"""STORE: change flags, tell the new ones unless asked not to.

Source:   RFC 3501 section 6.4.6; RFC 2180 section 4.2 for messages gone meanwhile:
          those that are there are changed; by number and not silent it then ends with NO [EXPUNGEISSUED].
          RFC 7162 section 3.1.3 (UNCHANGEDSINCE, MODIFIED), section 3.1.12 (changes that are not in the way).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final

from appliance.model.ids import Uid
from appliance.model.mailbox import KEYWORD_SHIFT, FlagAction, Told
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command, FlagList
from appliance.protocols.imap.sequence import format_sequence_set
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.limits import limit_reply, newest
from appliance.services.imap.progress import reporting
from appliance.services.imap.selection import Selected
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import become_aware, is_aware
from appliance.services.imap.view import MailboxView, Update

__all__ = ["HANDLERS", "store"]

_BATCH = 1_000
"""Messages changed in one hop: a Maildir rename each."""


async def store(session: Session, command: commands.Store) -> Reply:
    selected = session.selected
    if selected.read_only:
        return no("Mailbox is open for reading only", b"NOPERM")
    if command.unchanged_since is not None:
        become_aware(session)
    wanted = list(chain.from_iterable(selected.view.positions(command.messages, uid=command.uid)))
    positions = newest(session, wanted)
    last_uid = selected.view.uids[positions[0]] if positions else 0
    work = _Store(selected.view, command, positions, tells_modseq=is_aware(session))
    await work.run(session, selected)
    await session.sync(expunge=False, amend=work.amend_silent if command.silent else work.amend)
    return limit_reply(session, work.reply(), len(positions), last_uid, len(wanted))


class _Store:
    """One STORE: what was told before it, and which messages were left alone."""

    def __init__(self, view: MailboxView, command: commands.Store, positions: Sequence[int], *, tells_modseq: bool) -> None:
        self._view = view
        self._command = command
        self._positions = positions
        self._flags = [view.flags[at] for at in self._positions]
        self._modseqs = view.modseqs_at(self._positions)
        self._failed: list[Uid] = []
        self._tells_modseq = tells_modseq

    async def run(self, session: Session, selected: Selected) -> None:
        if len(self._positions) <= _BATCH:
            await self._run_batch(session, selected, 0)
            return
        async with reporting(session, len(self._positions)) as progress:
            for low in range(0, len(self._positions), _BATCH):
                await self._run_batch(session, selected, low)
                progress.done = low + _BATCH

    async def _run_batch(self, session: Session, selected: Selected, low: int) -> None:
        command, view = self._command, self._view
        if self._positions:
            uids = view.uids_at(self._positions[low : low + _BATCH])
            # Flushed once, before the tagged response that promises it.
            store_flags = partial(selected.mailbox.store_flags, durable=low + _BATCH >= len(self._positions))
            result = await session.run_blocking(
                store_flags,
                uids,
                command.action,
                command.flags.system,
                command.flags.keywords,
                command.unchanged_since,
                self._told(low, uids),
            )
            self._failed += result.failed

    def _told(self, low: int, uids: Sequence[Uid]) -> Told | None:
        """Return the flags that the client knew at UNCHANGEDSINCE: if these stand, no other change is in the way."""
        since = self._command.unchanged_since
        if not since:
            return None
        rows = zip(uids, self._flags[low : low + _BATCH], self._modseqs[low : low + _BATCH], strict=True)
        return Told({uid: flags for uid, flags, modseq in rows if 0 < modseq <= since}, self._view.keywords)

    def _living(self) -> Sequence[int]:
        view = self._view
        return [at for at in self._positions if view.uids[at] not in view.ghosts] if view.ghosts else self._positions

    def amend(self, update: Update) -> None:
        """Tell the flags of all that are there."""
        update.changed = sorted({*update.changed, *self._living()})

    def amend_silent(self, update: Update) -> None:
        """Tell only flags that are not as the client expects; of the others the modseq, to who takes it (RFC 7162 section 3.1.3)."""
        command, view, positions = self._command, self._view, self._positions
        mask = _mask(command.flags, view.keywords)
        # Few values of flags occur, and lists compare at once: of 100,000 messages that cost nothing by themselves.
        outcome = {flags: _apply(command.action, flags, mask) for flags in set(self._flags)}
        believed, now = [outcome[flags] for flags in self._flags], [view.flags[at] for at in positions]
        changed: set[int] = set() if update.changed == positions else set(update.changed).difference(positions)
        if believed != now:
            # Not only what ``update`` says: who changes a message back at once leaves it as it was told, and not as the client now believes.
            rows = zip(positions, believed, now, strict=True)
            changed.update(at for at, one, other in rows if one != other and view.uids[at] not in view.ghosts)
        changed.update(at for uid in self._failed if (at := view.position(uid)) is not None and uid not in view.ghosts)
        update.changed = sorted(changed)
        if not self._tells_modseq:
            return
        after = view.modseqs_at(positions)  # 0: gone
        must_tell = command.unchanged_since is not None
        numbers = zip(positions, self._modseqs, after, strict=True)
        update.numbered = [at for at, old, new in numbers if new and (must_tell or new != old) and at not in changed]

    def reply(self) -> Reply:
        command, view = self._command, self._view
        code = b""
        if self._failed:
            numbers = self._failed if command.uid else [at + 1 for uid in self._failed if (at := view.position(uid)) is not None]
            code = b"MODIFIED " + format_sequence_set(sorted(numbers))
        if not command.uid and not command.silent and view.ghosts and any(view.uids[at] in view.ghosts for at in self._positions):
            return no("Some of these messages are gone", code or b"EXPUNGEISSUED")
        return ok("Conditional store failed for some messages" if code else "Store completed", code)


def _mask(flags: FlagList, keywords: tuple[str, ...]) -> int:
    """Return the bits that a flag list stands for."""
    numbers = {name.lower(): number for number, name in enumerate(keywords)}
    mask = flags.system
    for keyword in flags.keywords:
        if keyword.lower() in numbers:
            mask |= 1 << (KEYWORD_SHIFT + numbers[keyword.lower()])
    return mask


def _apply(action: FlagAction, flags: int, mask: int) -> int:
    if action is FlagAction.ADD:
        return flags | mask
    return flags & ~mask if action is FlagAction.REMOVE else mask


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Store: store,
}
