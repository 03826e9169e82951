"""One AUTH exchange: SASL mechanism on one side, Authenticator on the other.

Owns the order of steps and the log line of each attempt. A wrong name and a
wrong password get the same reply; how long that takes is the Authenticator's.

Fails: a resource of ours that fails is 454, and the client tries again.
Does not: see base64 (the core) or SASL's grammar (``protocols.sasl``).

Sources: RFC 4954 section 4 and 6, RFC 4422 section 3.
"""

import secrets
from collections.abc import Mapping

from appliance.model.errors import ApplianceError
from appliance.model.ids import AccountName
from appliance.model.ports import Authenticator
from appliance.net.connection import Connection
from appliance.observe.maillog import MailLog
from appliance.protocols.sasl.mechanisms import MechanismSet
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ScramFinished
from appliance.protocols.smtp.replies import AUTH_FAILED, AUTH_TEMPORARY, AUTHENTICATED, Reply

__all__ = ["LoginExchange"]

_MALFORMED = Reply(501, "5.5.2", "The login is malformed")


class LoginExchange:
    """One login attempt. ``step`` until it returns a reply; ``account`` is then set, or not.

    ``channel_binding`` is given exactly when -PLUS was offered.
    """

    def __init__(
        self,
        mechanisms: MechanismSet,
        mechanism: str,
        authenticator: Authenticator,
        mail_log: MailLog,
        connection: Connection,
        *,
        service: str,
        channel_binding: Mapping[str, bytes] | None = None,
    ) -> None:
        made = mechanisms.make(
            mechanism, scram_keys=authenticator.scram_keys, nonce=secrets.token_urlsafe(18), channel_binding=channel_binding
        )
        assert made is not None, "the core took a mechanism that was not offered"
        self._mechanism = made
        self._authenticator = authenticator
        self._mail_log = mail_log
        self._connection = connection
        self._service = service
        self._login = ""
        self._proven: AccountName | None = None
        self.account: AccountName | None = None

    async def step(self, data: bytes | None) -> bytes | Reply:
        """Take what the client sent; return the next challenge, or the reply that ends it.

        Blocks:   as the Authenticator does: for a password check, and longer after failures.
        """
        if self._proven is not None:
            # The client's empty answer to the server's own proof (RFC 5802 section 5).
            if data:
                return self._finish(None, _MALFORMED, "answer to the server's proof is not empty")
            return self._finish(self._proven, AUTHENTICATED)
        found = self._mechanism.step(data)
        if isinstance(found, Challenge):
            return found.data
        if isinstance(found, Failed):
            return self._finish(None, _MALFORMED, found.reason)
        self._login = found.login
        if found.authzid not in ("", found.login):
            return self._finish(None, AUTH_FAILED, "wants to act as somebody else")
        try:
            account = await self._ask(found)
        except ApplianceError as error:
            return self._finish(None, AUTH_TEMPORARY, error.detail or error.client_text)
        if account is None:
            return self._finish(None, AUTH_FAILED, "wrong name or password")
        if isinstance(found, ScramFinished):
            self._proven = account
            return found.final
        return self._finish(account, AUTHENTICATED)

    async def _ask(self, found: CheckPassword | ScramFinished) -> AccountName | None:
        address = self._connection.peer.host
        if isinstance(found, CheckPassword):
            return await self._authenticator.check_password(found.login, found.password, address)
        return await self._authenticator.finish_scram(found.login, found.ok, address)

    def cancel(self) -> None:
        """Tell the log that the client gave up, or sent what cannot be decoded."""
        self._finish(None, AUTH_FAILED, "cancelled")

    def _finish(self, account: AccountName | None, reply: Reply, reason: str = "") -> Reply:
        self.account = account
        self._mail_log.auth_finished(
            session_id=self._connection.session_id,
            service=self._service,
            client=str(self._connection.peer),
            login=self._login,
            mechanism=self._mechanism.name,
            succeeded=account is not None,
            reason=reason,
        )
        return reply
