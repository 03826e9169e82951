"""The way in and out again: LOGIN, AUTHENTICATE, UNAUTHENTICATE.

Every attempt at a login is told to the log, with the name and never the
password. A wrong name and a wrong password look alike.

Sources:  RFC 3501 section 6.2, RFC 4422 section 3, RFC 4959 (SASL-IR), RFC 5530
          (ALERT, AUTHENTICATIONFAILED, AUTHORIZATIONFAILED, EXPIRED, LIMIT, PRIVACYREQUIRED), RFC 7628 (OAUTHBEARER), RFC 8437 section 3.
"""

import secrets
from collections.abc import Mapping
from typing import Final

import trio

from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName
from appliance.model.mailbox import QuotaResource
from appliance.model.ports import MailStore, MailStores
from appliance.policy.bearer import EXPIRED
from appliance.protocols.imap import commands
from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.commands_session import Unauthenticate
from appliance.protocols.imap.events import AuthenticateResponded
from appliance.protocols.imap.state import Condition
from appliance.protocols.sasl.oauthbearer import FAILURE, parse_bearer
from appliance.protocols.sasl.oauthbearer import NAME as OAUTHBEARER
from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ScramFinished, Step
from appliance.services.imap.errors import RefusalError, Reply, bad, no, ok
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.shared import TokenCheck

__all__ = ["HANDLERS", "authenticate", "log_in", "unauthenticate"]

_FAILED: Final = no("Login failed: wrong name or password", b"AUTHENTICATIONFAILED")
_OTHER: Final = no("The password is right, but nobody may act as somebody else", b"AUTHORIZATIONFAILED")
_EXPIRED: Final = no("This access token has expired: get a new one", b"EXPIRED")
_NEEDS_TLS: Final = no("Passwords are taken over TLS only: use STARTTLS, or SSL/TLS on port 993", b"PRIVACYREQUIRED")


async def log_in(session: Session, command: commands.Login) -> Reply:
    if not session.login_allowed:
        return _NEEDS_TLS
    try:
        login, password = saslprep(command.login), saslprep(command.password)
    except PrepError:
        return await _end_attempt(session, "LOGIN", "", None, "name or password holds prohibited characters")
    account = await session.shared.authenticator.check_password(login, password, session.connection.peer.host)
    return await _end_attempt(session, "LOGIN", login, account)


async def authenticate(session: Session, command: commands.Authenticate) -> Reply | None:
    """Drive one SASL exchange. Returns None when the core has answered or the client is gone."""
    if not session.login_allowed:
        return _NEEDS_TLS
    mechanism = None
    if command.mechanism == OAUTHBEARER and session.shared.check_token is not None:
        return await _bearer(session, session.shared.check_token, command.initial_response)
    if command.mechanism == "EXTERNAL" and session.certificate_names():
        return await _external(session, command.initial_response)
    if command.mechanism in session.mechanisms:
        mechanism = session.shared.mechanisms.make(
            command.mechanism,
            scram_keys=session.shared.authenticator.scram_keys,
            nonce=secrets.token_urlsafe(24),
            channel_binding=session.channel_binding or None,
        )
    if mechanism is None:
        return no("This mechanism is not offered", b"CANNOT")
    step = mechanism.step(command.initial_response)
    while isinstance(step, Challenge):
        response = await _challenge(session, step.data)
        if response is None:
            return None
        step = mechanism.step(response)
    return await _finish_sasl(session, command.mechanism, step)


async def _external(session: Session, message: bytes | None) -> Reply | None:
    """Let in whom the client's certificate names; the message is the login that is wanted, or empty (RFC 4422 appendix A)."""
    if message is None:
        message = await _challenge(session, b"")
        if message is None:
            return None
    find, names = session.shared.account_of_names, session.certificate_names()
    assert find is not None
    try:
        wanted = saslprep(message.decode("utf-8"))
    except (UnicodeDecodeError, PrepError):
        return await _end_attempt(session, "EXTERNAL", "", None, "malformed EXTERNAL message")
    account = find(names, wanted)
    return await _end_attempt(
        session, "EXTERNAL", names[0], account, "" if account else f"the certificate of {' '.join(names)[:200]}", authzid=""
    )


async def _bearer(session: Session, check: TokenCheck, message: bytes | None) -> Reply | None:
    """Drive OAUTHBEARER, whose failures are told in two steps (RFC 7628 section 3.2.3)."""
    if message is None:
        message = await _challenge(session, b"")
        if message is None:
            return None
    bearer = parse_bearer(message)
    account, reason = None, "malformed OAUTHBEARER message"
    if bearer is not None:
        account, reason = await check(bearer.token, bearer.authzid, session.connection.peer.host)
    if account is None and await _challenge(session, FAILURE) is None:
        return None
    failure = _EXPIRED if reason == f"token: {EXPIRED}" else _FAILED
    return await _end_attempt(session, OAUTHBEARER, account or "", account, reason, failure=failure)


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
            return await _end_attempt(session, mechanism, "", None, reason)
        case _:
            raise AssertionError(step)
    return await _end_attempt(session, mechanism, login, account, authzid=authzid)


async def _end_attempt(
    session: Session,
    mechanism: str,
    login: str,
    account: AccountName | None,
    reason: str = "",
    *,
    authzid: str = "",
    failure: Reply = _FAILED,
) -> Reply:
    """Log an attempt; after a good one open the account's mail. ``authzid``: nobody may act as somebody else."""
    if account is not None and authzid not in {"", login}:
        account, reason, failure = None, f"may not act as {authzid[:80]}", _OTHER
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
        return failure
    if not session.shared.admit(account):
        return no(f"This user has {session.shared.settings.max_connections_per_user} connections already: close one", b"LIMIT")
    session.account = account
    try:
        session.opened_store, full = await session.run_blocking(_open, session.shared.stores, account)
    except ApplianceError as error:
        reply = session.explain(error)
        session.forget_account()
        return reply
    session.expect_more()
    if full and session.shared.may_alert(account, trio.current_time()):
        session.core.send_untagged(Condition.NO, "Your mailbox is full: until you delete something no new mail gets in", b"ALERT")
    return ok("Logged in", session.capabilities())


def _open(stores: MailStores, account: AccountName) -> tuple[MailStore, bool]:
    """Return the account's mail, and whether it takes no more."""
    store = stores.account(account)
    return store, any(use.used >= use.limit for use in store.quota() if use.resource is not QuotaResource.MAILBOX)


async def unauthenticate(session: Session, command: Unauthenticate) -> Reply | None:
    """Forget everything but TLS; the answer is the last that is compressed, and the first in English again."""
    session.deselect()
    await session.replace_notifier(None)
    session.core.enabled.clear()
    session.core.translate = None
    session.forget_account()
    session.core.send_tagged(Condition.OK, "Logged out, you may log in again")
    await session.flush()
    session.connection.stop_compressing()
    return None


HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.Login: log_in,
    commands.Authenticate: authenticate,
    Unauthenticate: unauthenticate,
}
