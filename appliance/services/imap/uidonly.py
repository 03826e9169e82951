"""UIDONLY: sessions that never see a message number.

Owns what is refused once it is on. A command that can stand behind ``UID`` has an attribute ``uid``
and is refused without it; VANISHED and UIDFETCH are ``sync`` and ``news``.

Source:   RFC 9586 section 3.2 (commands), section 3.5 (UID SEARCH), section 3.7 (QRESYNC), section 3.8 (other commands).
"""

from typing import TYPE_CHECKING, Final

from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.search_keys import SearchKey, SequenceKey, inner_keys
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import RefusalError, Reply
from appliance.services.imap.sync import uses_uids

if TYPE_CHECKING:
    from appliance.services.imap.session import Session

__all__ = ["UID_REQUIRED", "require_uids"]

UID_REQUIRED: Final = Reply(Condition.BAD, "Message numbers are not allowed once UIDONLY is enabled", b"UIDREQUIRED")


def require_uids(session: "Session", command: Command) -> None:
    """Raise RefusalError for a command that names messages by number, if the client has switched numbers off."""
    if uses_uids(session) and _names_numbers(command):
        raise RefusalError(UID_REQUIRED)


def _names_numbers(command: Command) -> bool:
    if isinstance(command, commands.Select | commands.Examine):
        return command.parameters.qresync is not None and command.parameters.qresync.matches is not None
    key = getattr(command, "key", None)
    return getattr(command, "uid", None) is False or (key is not None and _has_numbers(key))


def _has_numbers(key: SearchKey) -> bool:
    """Tell whether a key names messages by number; ``$`` names those that a search found, as uids now (RFC 5182 section 2.1)."""
    return (isinstance(key, SequenceKey) and not key.messages.saved) or any(map(_has_numbers, inner_keys(key)))
