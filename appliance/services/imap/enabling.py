"""ENABLE: what a client switches on for its session.

The answer names exactly what this command switched on, in the spelling of CAPABILITY.
``session.enabled`` then says what is on.

Source:   RFC 5161 section 3, RFC 9051 section 6.3.1.
"""

from collections.abc import Mapping
from typing import Final

from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.extensions import IMPLIED, WORDS
from appliance.services.imap.capabilities import ENABLABLE
from appliance.services.imap.errors import Reply, ok
from appliance.services.imap.rev2 import speaks_rev2
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.sync import is_aware, note_highest

__all__ = ["HANDLERS", "enable"]


async def enable(session: Session, command: commands.Enable) -> Reply:
    """Pass over what is unknown, hidden or on already (RFC 5161 section 3.1)."""
    hidden = session.hidden
    named = (WORDS.get(name) for name in dict.fromkeys(command.capabilities) if name not in hidden)
    fresh = [extension for extension in named if extension in ENABLABLE and extension not in session.enabled]
    was_aware = is_aware(session)
    for extension in fresh:
        session.core.enabled |= {extension, *IMPLIED.get(extension, ())}
    if session.opened is not None and is_aware(session) and not was_aware:
        note_highest(session)
    if session.opened is not None and speaks_rev2(session):
        session.opened.view.forget_recent()
    session.send(b"* ENABLED" + b"".join(b" " + extension.value.encode("ascii") for extension in fresh) + b"\r\n")
    return ok("Enable completed")


HANDLERS: Final[Mapping[type[Command], Handler]] = {commands.Enable: enable}
