"""An SMTP session that goes wrong on purpose: the catcher's, for programs that are to bear it.

Owns where in the conversation a fault can be, and how a slow link is made: the
client's octets are taken, and ours given, no faster than the link carries them,
so that the client's own buffers fill.

Fails: as any session; ConnectionLostError when a fault ends the connection.

Sources: RFC 5321 sections 3.8 (421) and 4.2.5, RFC 3207 section 4.1 (454), RFC 3030 section 2 (BDAT), RFC 8446 section 6.2 (alerts).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, NoReturn

import trio

from appliance.model.caught import Fault, FaultSource
from appliance.model.ids import AccountName
from appliance.net.connection import Connection, ConnectionLostError
from appliance.protocols.smtp import events, replies
from appliance.protocols.smtp.extensions import plain_replies, switch_off
from appliance.protocols.smtp.replies import Reply
from appliance.services.smtp.session import SmtpSession
from appliance.services.smtp.shared import Shared

__all__ = ["FaultySession"]

_PIECES_PER_S: Final = 8
"""A slow link delivers so often."""
_HANDSHAKE_FAILURE: Final = b"\x15\x03\x03\x00\x02\x02\x28"


class FaultySession(SmtpSession):
    """See the module. ``close`` when it is over."""

    def __init__(self, shared: Shared, connection: Connection, faults: FaultSource) -> None:
        super().__init__(shared, connection)
        self._faults = faults.begin(connection.peer.host)
        self._whole_offer = self._core.options
        self._offer()

    def close(self) -> None:
        self._faults.close()

    def _offer(self) -> None:
        """Offer what is not switched off now."""
        self._core.offer(switch_off(self._whole_offer, self._faults.without))

    # The link

    async def _greet(self) -> None:
        fault = self._faults.at_greeting()
        if fault is not None:
            await self._be_late(fault)
            if fault.code:
                self._core.send_greeting(Reply(fault.code, "", fault.text))
                await self.flush()
            if fault.code or fault.hang_up:
                self._hang_up("turned away on purpose")
        await super()._greet()

    async def _exchange(self) -> None:
        speed = self._faults.bytes_per_s
        if not speed:
            await super()._exchange()
            return
        core, connection = self._core, self._connection
        await self.flush()
        connection.set_deadline(min(trio.current_time() + self._shared.smtp.idle_timeout_s, self._ends_at_s))
        data = await connection.receive_some(max(int(speed / _PIECES_PER_S), 1), idle=False)
        await self._pass_time(len(data) / speed)
        core.receive_data(data)

    async def _send(self, data: bytes) -> None:
        speed = self._faults.bytes_per_s
        if not self._core.options.enhanced_status:
            data = plain_replies(data)
        if speed:
            await self._pass_time(len(data) / speed)
        await super()._send(data)

    async def _pass_time(self, seconds: float) -> None:
        self.allow(seconds)
        await trio.sleep(seconds)

    # The session

    async def _greeted(self, request: events.Greeted) -> None:
        self._offer()
        if request.extended and not self._core.options.extended:
            self.refuse("EHLO", replies.NOT_IMPLEMENTED)
            return
        await super()._greeted(request)

    async def _tls_requested(self, request: events.TlsRequested) -> None:
        fault = self._faults.at_tls()
        if fault is None:
            await super()._tls_requested(request)
        elif fault.hang_up:
            self._core.accept()
            await self.flush()
            await self._connection.send_last(_HANDSHAKE_FAILURE)
            self._hang_up("TLS broken on purpose")
        else:
            await self._goes_wrong("STARTTLS", fault)

    async def _conclude_login(self, account: AccountName | None, reply: Reply) -> None:
        if account is not None and await self._goes_wrong("AUTH", self._faults.at_login(account)):
            return
        await super()._conclude_login(account, reply)
        self._offer()

    # The transaction

    def _mail_requested(self, request: events.MailRequested) -> Awaitable[None] | None:
        fault = self._faults.at_sender(request.reverse_path)
        return self._unless("MAIL", fault, lambda: super(FaultySession, self)._mail_requested(request))

    def _recipient_requested(self, request: events.RecipientRequested) -> Awaitable[None] | None:
        assert self._transaction is not None
        fault = self._faults.at_recipient(self._transaction.reverse_path, request.forward_path)
        return self._unless("RCPT", fault, lambda: super(FaultySession, self)._recipient_requested(request))

    async def _data_requested(self, request: events.DataRequested) -> None:
        if not await self._goes_wrong("DATA", self._faults.at_data(self._given)):
            await super()._data_requested(request)

    async def _bdat_started(self, notice: events.BdatStarted) -> None:
        """The first chunk is where DATA would be; its octets are read past before it can be refused."""
        if self._incoming is None and self._begin_refusal is None:
            fault = self._faults.at_data(self._given)
            if fault is not None:
                await self._be_late(fault)
                if fault.hang_up:
                    self._hang_up("hung up on purpose")
                if fault.code:
                    self._begin_refusal = Reply(fault.code, fault.status, fault.text)
        await super()._bdat_started(notice)

    async def _message_finished(self, *, eight_bit: bool) -> None:
        incoming = self._incoming
        if incoming is not None and incoming.refusal is None and await self._goes_wrong("DATA", self._faults.at_end(self._given)):
            await self.forget()
            return
        await super()._message_finished(eight_bit=eight_bit)

    @property
    def _given(self) -> list[str]:
        return list(self._transaction.given) if self._transaction is not None else []

    # What happens

    def _unless(self, stage: str, fault: Fault | None, go_on: Callable[[], Awaitable[None] | None]) -> Awaitable[None] | None:
        """Go on, unless something goes wrong; without a fault nothing is awaited."""
        return go_on() if fault is None else self._interrupted(stage, fault, go_on)

    async def _interrupted(self, stage: str, fault: Fault, go_on: Callable[[], Awaitable[None] | None]) -> None:
        if not await self._goes_wrong(stage, fault):
            waiting = go_on()
            if waiting is not None:
                await waiting

    async def _goes_wrong(self, stage: str, fault: Fault | None) -> bool:
        """Do to the client what ``fault`` says; False when the command is to be answered as usual.

        Raises:   ConnectionLostError when that ends the connection.
        """
        if fault is None:
            return False
        await self._be_late(fault)
        if fault.hang_up:
            self._hang_up("hung up on purpose")
        if fault.code:
            self.refuse(stage, Reply(fault.code, fault.status, fault.text))
            if fault.code == 421:  # the server ends it (RFC 5321 section 3.8)
                await self.flush()
                self._hang_up("421 on purpose")
        return bool(fault.code)

    async def _be_late(self, fault: Fault) -> None:
        if fault.delay_s:
            await self.flush()
            self.allow(fault.delay_s)
            await trio.sleep(fault.delay_s)

    def _hang_up(self, reason: str) -> NoReturn:
        self.reason = reason
        raise ConnectionLostError(reason)

    HANDLERS: ClassVar[Mapping[type[object], Callable[[Any, Any], Awaitable[None] | None]]] = {
        **SmtpSession.HANDLERS,
        events.Greeted: _greeted,
        events.TlsRequested: _tls_requested,
        events.MailRequested: _mail_requested,
        events.RecipientRequested: _recipient_requested,
        events.DataRequested: _data_requested,
        events.BdatStarted: _bdat_started,
    }
