"""A catcher on a real store, without threads, and a way to catch messages with it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from appliance.model.caught import CaughtEnvelope
from appliance.model.clock import ManualClock
from appliance.model.content import MemoryContent
from appliance.net.offload import InlineOffload
from appliance.observe.maillog import MailLog
from appliance.services.catcher.engine import Catcher
from appliance.services.catcher.ids import new_id
from appliance.storage.caught import CaughtStore, NewCaught


@dataclass
class Catching:
    """A running catcher; ``catch`` keeps a message and returns its id."""

    catcher: Catcher
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
    yield Catching(catcher, clock)
    nursery.cancel_scope.cancel()
    store.close()
