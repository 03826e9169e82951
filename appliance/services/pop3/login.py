"""A SASL exchange of one POP3 session: the mechanism's steps and the Authenticator's word.

Owns who may act as whom (nobody but oneself), the empty last round of SCRAM (the
server's signature goes out as one more challenge, and only the client's empty
answer to it completes the login), and what a login name says beside the user:
``ana+Lists/python`` opens another mailbox than INBOX.

Fails: with what the Authenticator raises; everything a client does wrong ends
in ``account`` None with ``reason`` for the log.
Sources: RFC 4422 section 3, RFC 5034 section 4, RFC 5802 sections 5 and 6.
"""

import secrets
from collections.abc import Mapping
from typing import assert_never

from appliance.model.ids import AccountName
from appliance.model.ports import Authenticator, ScramKeys
from appliance.protocols.sasl.mechanisms import MechanismSet
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ScramFinished

__all__ = ["FolderLogins", "SaslLogin", "split_login"]

_NONCE_BYTES = 18


def split_login(login: str, separator: str) -> tuple[str, str]:
    """Return the login proper and the name of a mailbox, ``""`` for INBOX.

    ``ana+Sent``, ``ana@example.com+Sent`` and ``ana+Sent@example.com`` all open Sent. No user's
    name has the separator in it. ``separator`` empty: there are no such logins.
    """
    base, found, rest = login.partition(separator) if separator else (login, "", "")
    if not found:
        return login, ""
    if "@" in base:
        return base, rest
    mailbox, at, domain = rest.rpartition("@")
    return (base + at + domain, mailbox) if at else (base, rest)


class FolderLogins:
    """An Authenticator that is asked with login names as ``split_login`` takes them, and asks another without the mailbox."""

    def __init__(self, authenticator: Authenticator, separator: str) -> None:
        self._authenticator = authenticator
        self._separator = separator

    def _base(self, login: str) -> str:
        return split_login(login, self._separator)[0]

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        return await self._authenticator.check_password(self._base(login), password, client_address)

    def scram_keys(self, login: str) -> ScramKeys:
        return self._authenticator.scram_keys(self._base(login))

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        return await self._authenticator.finish_scram(self._base(login), proven, client_address)


class SaslLogin:
    """One exchange. After ``step`` returned None: ``account``, None when it failed, and ``login`` as far as it is known."""

    def __init__(
        self, mechanisms: MechanismSet, authenticator: Authenticator, name: str, client_address: str, channel_binding: Mapping[str, bytes]
    ) -> None:
        mechanism = mechanisms.make(
            name,
            scram_keys=authenticator.scram_keys,
            nonce=secrets.token_urlsafe(_NONCE_BYTES),
            channel_binding=channel_binding or None,
        )
        assert mechanism is not None, f"{name} was offered"
        self._server = mechanism
        self._authenticator = authenticator
        self._client_address = client_address
        self._proven: AccountName | None = None
        self.mechanism = name
        self.login = ""
        self.account: AccountName | None = None
        self.reason = ""

    async def step(self, response: bytes | None) -> bytes | None:
        """Take the initial or next response; return a challenge, or None at the end.

        Blocks:   while the Authenticator checks or delays.
        Raises:   ApplianceError of the Authenticator.
        """
        if self._proven is not None:
            if response:
                self.reason = "data after the end of SCRAM"
            else:
                self.account = self._proven
            return None
        step = self._server.step(response)
        match step:
            case Challenge(data):
                return data
            case CheckPassword(authzid, login, password):
                self.login = login
                if self._is_oneself(authzid):
                    self.account = await self._authenticator.check_password(login, password, self._client_address)
            case ScramFinished(authzid, login, ok, final):
                self.login = login
                proven = ok and self._is_oneself(authzid)
                self._proven = await self._authenticator.finish_scram(login, proven, self._client_address)
                if self._proven is not None:
                    return final
            case Failed(reason):
                self.reason = reason
            case _:
                assert_never(step)
        return None

    def _is_oneself(self, authzid: str) -> bool:
        if authzid in {"", self.login}:
            return True
        self.reason = "may not act for another user"
        return False
