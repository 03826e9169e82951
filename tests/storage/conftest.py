"""Mail stores on a temporary directory, in both formats."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from appliance.model.changes import NameChange
from appliance.model.content import MemoryContent
from appliance.model.ids import AccountName, MailboxName, QueueId
from appliance.model.mailbox import NewMessage, SpecialUse
from appliance.model.ports import Subscription
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")


class RecordingFeed:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[AccountName, MailboxName]] = []

    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        self.published.append((account, mailbox))

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...

    def subscribe(self, account: AccountName, mailbox: MailboxName) -> AbstractContextManager[Subscription]:
        raise NotImplementedError


def make_message(
    text: str = "one",
    *,
    queue_id: str | None = None,
    flags: int = 0,
    keywords: tuple[str, ...] = (),
    at_s: float | None = None,
    data: bytes | None = None,
) -> NewMessage:
    """Return a small message whose subject and body tell ``text``."""
    if data is None:
        data = f"From: Ana <ana@example.com>\r\nSubject: {text}\r\nMessage-ID: <{text}@example.com>\r\n\r\nbody of {text}\r\n".encode()
    return NewMessage(
        MemoryContent(data),
        time.time() if at_s is None else at_s,
        flags,
        keywords,
        None if queue_id is None else QueueId(queue_id),
        "sender@example.net",
    )


@pytest.fixture
def feed() -> RecordingFeed:
    return RecordingFeed()


@pytest.fixture(params=["maildir", "mbox"])
def mail_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_stores(tmp_path: Path, feed: RecordingFeed, mail_format: str) -> Iterator[Callable[..., FileMailStores]]:
    """Return a maker; every store that it makes lies on the same directory, as after a restart."""
    made = []

    def make(**settings: Any) -> FileMailStores:
        defaults: dict[str, Any] = {"formats": mail_format, "special_folders": {SpecialUse.SENT: MailboxName("Sent")}, "lock_wait_s": 0.1}
        stores = FileMailStores(tmp_path / "data", feed, **(defaults | settings))
        made.append(stores)
        return stores

    yield make
    for stores in made:
        stores.close()


@pytest.fixture
def stores(make_stores: Callable[..., FileMailStores]) -> FileMailStores:
    return make_stores()


@pytest.fixture
def new_message() -> Callable[..., NewMessage]:
    return make_message


@pytest.fixture
def mail_root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mail" / "ana"
