"""A catcher on a real store, without threads, and a way to catch messages with it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from appliance.model.caught import CaughtEnvelope
from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.net.http_messages import Request, Response
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.policy.caught_faults import Faults
from appliance.policy.html_check import HtmlCheck
from appliance.services.catcher.compare_api import CompareApi
from appliance.services.catcher.conversations import Conversations
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.frame import Frame, Places
from appliance.services.catcher.ids import new_id
from appliance.services.catcher.inbox_api import InboxApi
from appliance.services.catcher.inboxes import Inboxes
from appliance.services.catcher.mailhog import MailHogApi
from appliance.services.catcher.mailpit import MailpitApi
from appliance.services.catcher.mailpit_message import MailpitMessages
from appliance.services.catcher.own_api import OwnApi
from appliance.services.catcher.pages import CatcherPages
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.sending import Sending
from appliance.services.catcher.service import Access, CatcherService
from appliance.services.catcher.steps import Steps
from appliance.services.catcher.trash import Trash
from appliance.services.catcher.tuning import Tuning
from appliance.services.catcher.watching import Watching
from appliance.services.catcher.writing import Writing
from appliance.storage.caught import CaughtStore, NewCaught


@dataclass
class Catching:
    """A running catcher; ``catch`` keeps a message and returns its id."""

    catcher: Catcher
    inboxes: Inboxes
    clock: ManualClock = field(default_factory=ManualClock)

    async def catch(self, data: bytes, *recipients: str, sender: str = "app@shop.test", inbox: str = "", username: str = "") -> str:
        envelope = CaughtEnvelope(reverse_path=sender, recipients=recipients, username=username)
        new = NewCaught(
            id=new_id(), inbox=inbox, created_ms=int(self.clock.now_s() * 1_000), envelope=envelope, content=MemoryContent(data)
        )
        await self.catcher.keep(new)
        return new.id

    async def subjects(self) -> list[str]:
        await self.catcher.settled()
        return [summary.subject for summary in self.catcher.store.latest()]


@pytest.fixture
async def catching(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Catching]:
    store = CaughtStore(tmp_path / "caught")
    store.open()
    clock = ManualClock()
    catcher = Catcher(store, offload=InlineOffload(), commit_offload=InlineOffload(), clock=clock, mail_log=MailLog())
    await nursery.start(catcher.run)
    inboxes = Inboxes(catcher, lambda: Faults(chance=lambda: 0.5, monotonic_s=clock.monotonic_s))
    yield Catching(catcher, inboxes, clock)
    nursery.cancel_scope.cancel()
    store.close()


class Web:
    def __init__(self, catching: Any, **access: Any) -> None:
        desk = Desk(catching.catcher, "vm")
        faults = Faults(chance=lambda: 0.5, monotonic_s=lambda: 0)
        routes, self.sending = Routes(), Sending(desk)
        mailpit, mailhog = MailpitApi(desk, faults, 0), MailHogApi(desk, faults, self.sending)
        mailpit.add_to(routes)
        MailpitMessages(desk, mailpit, lambda: HtmlCheck({"data": [], "nicenames": {"family": {}, "platform": {}}})).add_to(routes)
        self.sending.add_to(routes)
        mailhog.add_to(routes)
        frame = Frame(desk, Places(root=access.get("root", "/")), Trash(catching.catcher), self._relay)
        CatcherPages(frame, lambda: HtmlCheck({"data": [], "nicenames": {"family": {}, "platform": {}}})).add_to(routes)
        Steps(frame, self.sending).add_to(routes)
        Writing(frame, self.sending).add_to(routes)
        self.faults, self.conversations = faults, Conversations()
        Tuning(frame, faults, catching.inboxes).add_to(routes)
        Watching(frame, self.conversations).add_to(routes)
        OwnApi(desk, faults).add_to(routes)
        CompareApi(desk).add_to(routes)
        InboxApi(desk, catching.inboxes).add_to(routes)

        async def nothing(_request: Request) -> Response:
            return Response(404)

        self.service = CatcherService(
            routes,
            mailpit,
            mailhog,
            fallback=nothing,
            mail_log=MailLog(),
            access=Access(inbox_of_token=catching.inboxes.of_token, **access),
        )

    def _relay(self) -> str:
        return self.sending.release.server if self.sending.release is not None else ""

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        path, _, query = target.partition("?")
        values = dict(one.split("=", 1) for one in query.split("&")) if query else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        listed = [("host", "localhost:8025"), *[(name.replace("_", "-"), value) for name, value in headers.items()]]
        return await self.service.answer(Request(method, path, values, listed, data, "127.0.0.1"))


@pytest.fixture
def make_web(catching: Catching) -> Any:
    """Return what makes the web service, with what may be asked of it."""
    return lambda **access: Web(catching, **access)


@pytest.fixture
def web(catching: Catching) -> Web:
    return Web(catching)
