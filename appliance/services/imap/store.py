"""STORE: change flags, tell the new ones unless asked not to.

Source:   RFC 3501 section 6.4.6; RFC 2180 section 4.2 for messages gone meanwhile:
          those that are there are changed; by number and not silent it then ends with NO [EXPUNGEISSUED].
"""

from collections.abc import Mapping
from itertools import chain
from typing import Final

from appliance.model.mailbox import KEYWORD_SHIFT, FlagAction
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command, FlagList
from appliance.services.imap.errors import Reply, no, ok
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.view import Update

__all__ = ["HANDLERS", "store"]

_BATCH = 1_000
"""Messages changed in one hop: a Maildir rename each."""


async def store(session: Session, command: commands.Store) -> Reply:
    selected = session.selected
    if selected.read_only:
        return no("Mailbox is open for reading only", b"NOPERM")
    view = selected.view
    positions = list(chain.from_iterable(view.positions(command.messages, uid=command.uid)))
    before = [view.flags[at] for at in positions]
    for low in range(0, len(positions), _BATCH):
        uids = view.uids_at(positions[low : low + _BATCH])
        await session.run_blocking(selected.mailbox.store_flags, uids, command.action, command.flags.system, command.flags.keywords)

    def amend(update: Update) -> None:
        if command.silent:
            mask = _mask(command.flags, view.keywords)
            expected = {at: _apply(command.action, flags, mask) for at, flags in zip(positions, before, strict=True)}
            update.changed = [at for at in update.changed if expected.get(at) != view.flags[at]]
        else:
            living = (at for at in positions if view.uids[at] not in view.ghosts) if view.ghosts else positions
            update.changed = sorted({*update.changed, *living})

    await session.sync(expunge=False, amend=amend)
    if not command.uid and not command.silent and view.ghosts and any(view.uids[at] in view.ghosts for at in positions):
        return no("Some of these messages are gone", b"EXPUNGEISSUED")
    return ok("Store completed")


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
