"""Commands of any state, and the way in: STARTTLS, LOGIN, AUTHENTICATE.

Every attempt at a login is told to the log, with the name and never the
password. A wrong name and a wrong password look alike.

Sources:  RFC 3501 sections 6.1 and 6.2, RFC 2971 (ID), RFC 4959 (SASL-IR), RFC 5530
          (AUTHENTICATIONFAILED, PRIVACYREQUIRED), RFC 4422 section 3.
"""

import secrets
from collections.abc import Mapping
from typing import Final

import appliance
from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.events import AuthenticateResponded
from appliance.protocols.imap.responses import id_response
from appliance.protocols.imap.state import Condition
from appliance.protocols.sasl.mechanisms import make_server_mechanism
from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ScramFinished, Step
from appliance.services.imap.errors import RefusalError, Reply, bad, no, ok
from appliance.services.imap.session import Handler, Session

__all__ = ["HANDLERS", "authenticate", "capability", "identify", "log_in", "log_out", "noop", "start_tls"]

_FAILED = no("Login failed: wrong name or password", b"AUTHENTICATIONFAILED")
_NEEDS_TLS = no("Passwords are taken over TLS only: use STARTTLS, or SSL/TLS on port 993", b"PRIVACYREQUIRED")


async def capability(session: Session, command: commands.Capability) -> Reply:
    session.send(b"* %b\r\n" % session.capabilities())
    return ok("Capability completed")


async def noop(session: Session, command: commands.Noop) -> Reply:
    return ok("Nothing done")


async def log_out(session: Session, command: commands.Logout) -> None:
    session.deselect()
    session.core.send_logout()


async def identify(session: Session, command: commands.Id) -> Reply:
    """Tell strangers our name, and our version only to those who are logged in."""
    fields = {"name": "Carteiro"}
    if session.account is not None:
        fields["version"] = appliance.__version__
    session.send(id_response(fields))
    return ok("ID completed")


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


async def log_in(session: Session, command: commands.Login) -> Reply:
    if not session.login_allowed:
        return _NEEDS_TLS
    try:
        login, password = saslprep(command.login), saslprep(command.password)
    except PrepError:
        return await _end(session, "LOGIN", "", None, "name or password holds prohibited characters")
    account = await session.shared.authenticator.check_password(login, password, session.connection.peer.host)
    return await _end(session, "LOGIN", login, account)


async def authenticate(session: Session, command: commands.Authenticate) -> Reply | None:
    """Drive one SASL exchange. Returns None when the core has answered or the client is gone."""
    if not session.login_allowed:
        return _NEEDS_TLS
    authenticator = session.shared.authenticator
    mechanism = None
    if command.mechanism in session.shared.mechanisms:
        mechanism = make_server_mechanism(command.mechanism, scram_keys=authenticator.scram_keys, nonce=secrets.token_urlsafe(24))
    if mechanism is None:
        return no("This mechanism is not offered", b"CANNOT")
    step = mechanism.step(command.initial_response)
    while isinstance(step, Challenge):
        response = await _challenge(session, step.data)
        if response is None:
            return None
        step = mechanism.step(response)
    return await _finish_sasl(session, command.mechanism, step)


async def _challenge(session: Session, data: bytes) -> bytes | None:
    """Return the client's answer, None if it gave none that can be used. Raises RefusalError when it cancels."""
    session.core.send_challenge(data)
    event = await session.next_event()
    if not isinstance(event, AuthenticateResponded):
        return None
    if event.data is None:
        raise RefusalError(bad("Authentication cancelled"))
    return event.data


async def _finish_sasl(session: Session, mechanism: str, step: Step) -> Reply | None:
    authenticator, client = session.shared.authenticator, session.connection.peer.host
    match step:
        case CheckPassword(authzid, login, password):
            account = await authenticator.check_password(login, password, client)
        case ScramFinished(authzid, login, proven, final):
            account = await authenticator.finish_scram(login, proven, client)
            if account is not None and await _challenge(session, final) is None:
                return None
        case Failed(reason):
            return await _end(session, mechanism, "", None, reason)
        case _:
            raise AssertionError(step)
    if account is not None and authzid not in {"", login}:
        return await _end(session, mechanism, login, None, f"may not act as {authzid[:80]}")
    return await _end(session, mechanism, login, account)


async def _end(session: Session, mechanism: str, login: str, account: AccountName | None, reason: str = "") -> Reply:
    """Log an attempt; after a good one open the account's mail."""
    session.shared.mail_log.auth_finished(
        session_id=session.connection.session_id,
        service="imap",
        client=session.connection.peer.host,
        login=login,
        mechanism=mechanism,
        succeeded=account is not None,
        reason=reason,
    )
    if account is None:
        return _FAILED
    try:
        session.opened_store = await session.run_blocking(session.shared.stores.account, account)
    except ApplianceError as error:
        return session.explain(error)
    session.account = account
    return ok("Logged in", session.capabilities())


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Capability: capability,
    commands.Noop: noop,
    commands.Logout: log_out,
    commands.Id: identify,
    commands.StartTls: start_tls,
    commands.Authenticate: authenticate,
    commands.Login: log_in,
}
