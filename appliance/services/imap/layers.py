"""What lies between the session and the wire: STARTTLS and COMPRESS.

Sources:  RFC 3501 section 6.2.1 (STARTTLS), RFC 4978 section 3 (COMPRESS).
"""

from collections.abc import Mapping
from typing import Final

from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_session import Compress
from appliance.protocols.imap.state import Condition
from appliance.services.imap.errors import Reply, bad, no
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "compress", "start_tls"]


async def start_tls(session: Session, command: commands.StartTls) -> Reply | None:
    context = session.shared.tls_context
    if context is None or not session.start_tls_offered:
        return bad("TLS is active already" if session.connection.is_tls else "TLS is not available here")
    session.core.send_tagged(Condition.OK, "Begin TLS")
    await session.flush()
    # Whatever came in plain text behind the command is forgotten before the handshake.
    session.core.start_tls()
    await session.connection.start_tls(context())
    return None


async def compress(session: Session, command: Compress) -> Reply | None:
    """Compress both directions. What came behind the command was not compressed, so it is refused then (RFC 4978 section 3)."""
    if command.algorithm != "DEFLATE":
        return bad("DEFLATE is the only algorithm here")
    if session.connection.is_compressed:
        return no("DEFLATE is active already", b"COMPRESSIONACTIVE")
    if session.core.has_input:
        return bad("Nothing may be sent behind COMPRESS before its answer")
    await session.sync(expunge=True)
    session.core.send_tagged(Condition.OK, "DEFLATE is active")
    await session.flush()
    session.connection.compress()
    return None


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.StartTls: start_tls,
    Compress: compress,
}
