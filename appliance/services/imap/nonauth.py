"""Commands of any state: CAPABILITY, NOOP, LOGOUT, ID.

Sources:  RFC 3501 section 6.1, RFC 2971 (ID).
"""

from collections.abc import Mapping
from typing import Final

import appliance
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.grammar import printable
from appliance.protocols.imap.responses import id_response
from appliance.services.imap.errors import Reply, ok
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "capability", "identify", "log_out", "noop"]

_LOGGED_FIELDS: Final = (b"name", b"version", b"vendor", b"os", b"os-version")
"""Of the fields of RFC 2971 section 3.3, what tells which program is at fault; the rest may be about the person."""


async def capability(session: Session, command: commands.Capability) -> Reply:
    session.send(b"* %b\r\n" % session.capabilities())
    return ok("Capability completed")


async def noop(session: Session, command: commands.Noop) -> Reply:
    return ok("Nothing done")


async def log_out(session: Session, command: commands.Logout) -> None:
    session.deselect()
    session.core.send_logout()


async def identify(session: Session, command: commands.Id) -> Reply:
    """Tell strangers our name, and our version only to those who are logged in; log what tells which program this is."""
    told = {name.lower(): value for name, value in command.parameters if value is not None}
    said = {name.decode("ascii"): printable(told[name]) for name in _LOGGED_FIELDS if name in told}
    if said and not session.is_identified:
        session.is_identified = True
        session.shared.mail_log.notice(
            "imap_client",
            session=session.connection.session_id,
            user=session.account or "",
            **{f"client_{k.replace('-', '_')}": v for k, v in said.items()},
        )
    fields = {"name": "Carteiro"}
    if session.account is not None:
        fields["version"] = appliance.__version__
    session.send(id_response(fields))
    return ok("ID completed")


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Capability: capability,
    commands.Noop: noop,
    commands.Logout: log_out,
    commands.Id: identify,
}
