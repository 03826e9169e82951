"""A status by hand, an INBOX in memory, and a service to ask."""

import io
import logging
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest

from appliance.model.ids import INBOX, AccountName, MailboxName, ModSeq, Uid, UidNext, UidValidity
from appliance.model.mailbox import Snapshot, Summary
from appliance.net.http_messages import Request, Response
from appliance.net.offload import InlineOffload
from appliance.observe.counters import Registry
from appliance.observe.maillog import MailLog
from appliance.services.web.service import WebService
from appliance.services.web.status import Status

NOW_S = 1_700_000_000.0


@dataclass
class FakeSource:
    """Says what it was told to."""

    state: Status

    async def status(self) -> Status:
        return self.state


@dataclass
class FakeInbox:
    """Messages with uids from 1; stands for stores and store as well."""

    messages: list[bytes] = field(default_factory=list)

    def account(self, account: AccountName) -> "FakeInbox":
        assert account == "dev"
        return self

    def open_mailbox(self, name: MailboxName) -> "FakeInbox":
        assert INBOX == name
        return self

    def snapshot(self) -> Snapshot:
        count = len(self.messages)
        uids = array("I", range(1, count + 1))
        return Snapshot(UidValidity(7), UidNext(count + 1), ModSeq(1), uids, array("Q", [0] * count), array("Q", [1] * count))

    def summaries(self, uids: Sequence[Uid]) -> Sequence[Summary]:
        known = [uid for uid in uids if 0 < uid <= len(self.messages)]
        return [Summary(uid, len(self.messages[uid - 1]), int(NOW_S), 0, b"", b"", b"") for uid in known]

    def open_message(self, uid: Uid) -> BinaryIO:
        return io.BytesIO(self.messages[uid - 1])


@dataclass
class Site:
    """A service with its source and its mail."""

    service: WebService
    source: FakeSource
    inbox: FakeInbox

    async def get(self, path: str, **headers: str) -> Response:
        """Ask as a browser does; ``?lang=pt`` may be part of the path."""
        path, _, query = path.partition("?")
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return await self.service.router(Request("GET", path, dict([query.split("=")]) if query else {}, pairs))

    async def page(self, path: str, **headers: str) -> str:
        response = await self.get(path, **headers)
        assert isinstance(response.body, bytes)
        return response.body.decode()


@pytest.fixture
def make_site() -> Callable[..., Site]:
    """Return a function that builds a site; fields of ``Status`` may be given, and messages for the dev account."""

    def make(messages: Sequence[bytes] | None = None, /, **fields: object) -> Site:
        known: dict[str, object] = {"now_s": NOW_S, "started_at_s": NOW_S - 4_000, "version": "0.1.0", "hostname": "mail.example"}
        source = FakeSource(Status(**(known | fields)))  # type: ignore[arg-type]
        inbox = FakeInbox(list(messages or ()))
        service = WebService(
            source=source,
            registry=Registry(),
            stores=inbox,  # type: ignore[arg-type]  # it has what the pages need
            offload=InlineOffload(),
            mail_log=MailLog(logging.getLogger("unheard")),
            dev_account=AccountName("dev") if messages is not None else None,
        )
        return Site(service, source, inbox)

    return make
