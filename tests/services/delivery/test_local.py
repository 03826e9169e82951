"""Local delivery: trace fields, choice of the mailbox, one hop per batch, outcomes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, TypeVarTuple

import pytest

from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError, InUseError, OutOfSpaceError, OverQuotaError, UnavailableError
from appliance.model.ids import INBOX, AccountName, MailboxName, QueueId
from appliance.model.mailbox import MailboxInfo, NewMessage, SpecialUse
from appliance.model.outcome import Action
from appliance.model.ports import LocalJob
from appliance.model.routing import Deliverable, LocalTarget, NotLocal, Refused, RemoteTarget, Resolution
from appliance.services.delivery.local import LocalDeliveryService

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FakeStore:
    """Lists what mailboxes an account has."""

    def __init__(self, more: Sequence[MailboxInfo]) -> None:
        self.more = more

    def list_mailboxes(self) -> list[MailboxInfo]:
        return [*self.more, MailboxInfo(INBOX), MailboxInfo(MailboxName("Lists")), MailboxInfo(MailboxName("Old"), selectable=False)]


class FakeStores:
    """Keeps what was delivered; fails as told."""

    def __init__(self) -> None:
        self.delivered: list[tuple[str, str, bytes]] = []
        self.error: ApplianceError | None = None
        self.raises: ApplianceError | None = None
        self.settled = 0
        self.mailboxes: list[MailboxInfo] = []

    def account(self, account: AccountName) -> Any:
        return FakeStore(self.mailboxes)

    def deliver(self, account: AccountName, messages: Sequence[tuple[MailboxName, NewMessage]]) -> Sequence[ApplianceError | None]:
        if self.raises is not None:
            raise self.raises
        if self.error is not None:
            return [self.error] * len(messages)
        for name, message in messages:
            with message.content.open() as stream:
                self.delivered.append((account, name, stream.read()))
        return [None] * len(messages)

    def settle(self) -> None:
        self.settled += 1


class FakeDirectory:
    """Knows addresses from a table."""

    def __init__(self, table: dict[str, Resolution]) -> None:
        self.table = table
        self.own: dict[str, LocalTarget] = {}

    def resolve(self, address: str) -> Resolution:
        return self.table[address]

    def mailbox_of(self, address: str) -> LocalTarget | None:
        return self.own.get(address)

    def may_send_as(self, account: AccountName, address: str) -> bool:
        raise AssertionError

    def qualify(self, address: str) -> str:
        raise AssertionError

    def primary_address(self, account: AccountName) -> str:
        raise AssertionError


class InlineOffload:
    """Calls at once and counts."""

    def __init__(self) -> None:
        self.hops = 0

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        self.hops += 1
        return function(*args)


TABLE: dict[str, Resolution] = {
    "ana@example.com": Deliverable((LocalTarget(AccountName("ana")),)),
    "ana+lists@example.com": Deliverable((LocalTarget(AccountName("ana"), "lists"),)),
    "ana+old@example.com": Deliverable((LocalTarget(AccountName("ana"), "old"),)),
    "ana+nothing@example.com": Deliverable((LocalTarget(AccountName("ana"), "nothing"),)),
    "bo@example.com": Deliverable((LocalTarget(AccountName("bo")),)),
    "both@example.com": Deliverable((LocalTarget(AccountName("ana")), LocalTarget(AccountName("bo")))),
    "away@example.com": Deliverable((RemoteTarget("x@y.example"),)),
    "gone@example.com": Refused(550, "5.1.1", "No such user here"),
    "x@elsewhere.example": NotLocal(),
}


def job(address: str, original: str | None = None, queue_id: str = "Q1") -> LocalJob:
    recipient = EnvelopeRecipient(address, original=original)
    envelope = Envelope("sender@example.net", (recipient,))
    return LocalJob(QueueId(queue_id), envelope, recipient, MemoryContent(b"Subject: x\r\n\r\nbody\r\n"), 1_700_000_000.5)


@pytest.fixture
def stores() -> FakeStores:
    return FakeStores()


@pytest.fixture
def offload() -> InlineOffload:
    return InlineOffload()


@pytest.fixture
def service(stores: FakeStores, offload: InlineOffload) -> LocalDeliveryService:
    return LocalDeliveryService(stores, FakeDirectory(TABLE), offload)


async def test_trace_fields(service: LocalDeliveryService, stores: FakeStores) -> None:
    """A delivered message starts with Return-Path, Delivered-To and the address before alias expansion."""
    (outcome,) = await service.deliver([job("ana@example.com", original="info@example.com")])
    expected = (
        b"Return-Path: <sender@example.net>\r\nDelivered-To: ana@example.com\r\nX-Original-To: info@example.com\r\n"
        b"Subject: x\r\n\r\nbody\r\n"
    )
    assert [("ana", "INBOX", expected)] == stores.delivered
    assert (Action.DELIVERED, "2.0.0", "delivered to mailbox INBOX") == (outcome.action, outcome.status, outcome.reason)


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [("ana+lists@example.com", "Lists"), ("ana+old@example.com", "INBOX"), ("ana+nothing@example.com", "INBOX")],
)
async def test_detail_names_a_mailbox(service: LocalDeliveryService, stores: FakeStores, address: str, mailbox: str) -> None:
    """What follows the plus sign is a mailbox when there is one that takes mail, INBOX otherwise."""
    await service.deliver([job(address)])
    assert [("ana", mailbox)] == [(account, name) for account, name, _ in stores.delivered]


async def test_one_hop_for_a_batch(service: LocalDeliveryService, stores: FakeStores, offload: InlineOffload) -> None:
    """A batch for several accounts goes to a worker thread once."""
    outcomes = await service.deliver([job("ana@example.com"), job("bo@example.com"), job("ana@example.com", queue_id="Q2")])
    assert 1 == offload.hops
    assert [Action.DELIVERED] * 3 == [outcome.action for outcome in outcomes]
    assert ["ana", "ana", "bo"] == [account for account, _, _ in stores.delivered]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OverQuotaError("x"), "4.2.2"),
        (OutOfSpaceError("x"), "4.3.1"),
        (InUseError("x"), "4.2.0"),
        (UnavailableError("x"), "4.3.0"),
    ],
)
async def test_failures_are_deferrals(service: LocalDeliveryService, stores: FakeStores, error: ApplianceError, status: str) -> None:
    """Whatever goes wrong on our disks is tried again, whether the store returns or raises it."""
    stores.error = error
    (returned,) = await service.deliver([job("ana@example.com")])
    stores.error, stores.raises = None, error
    (raised,) = await service.deliver([job("ana@example.com")])
    assert (Action.DEFERRED, status) == (returned.action, returned.status) == (raised.action, raised.status)


@pytest.mark.parametrize(
    ("address", "action", "status"),
    [
        ("gone@example.com", Action.BOUNCED, "5.1.1"),
        ("away@example.com", Action.DEFERRED, "4.3.5"),
        ("x@elsewhere.example", Action.DEFERRED, "4.3.5"),
    ],
)
async def test_addresses_that_changed(
    service: LocalDeliveryService, offload: InlineOffload, address: str, action: Action, status: str
) -> None:
    """An address that is refused or not ours since a reload gets its outcome without touching a store."""
    (outcome,) = await service.deliver([job(address)])
    assert (action, status, 0) == (outcome.action, outcome.status, offload.hops)


async def test_several_accounts_behind_one_address(service: LocalDeliveryService, stores: FakeStores) -> None:
    """An address that leads to two accounts is delivered when both have it."""
    (outcome,) = await service.deliver([job("both@example.com")])
    assert Action.DELIVERED is outcome.action
    assert {"ana", "bo"} == {account for account, _, _ in stores.delivered}


async def test_settle(service: LocalDeliveryService, stores: FakeStores) -> None:
    """Settling goes to the stores."""
    await service.settle()
    assert 1 == stores.settled


async def test_own_address_wins_over_alias_of_that_name(stores: FakeStores, offload: InlineOffload) -> None:
    """Aliases were expanded at the door; what was sent on to a user's own address must not go round again."""
    directory = FakeDirectory({"ana@example.com": Deliverable((LocalTarget(AccountName("boss")),))})
    directory.own["ana@example.com"] = LocalTarget(AccountName("ana"))
    (outcome,) = await LocalDeliveryService(stores, directory, offload).deliver([job("ana@example.com")])
    assert Action.DELIVERED is outcome.action
    assert ["ana"] == [account for account, _, _ in stores.delivered]


async def test_junk_goes_to_the_junk_folder(stores: FakeStores, offload: Any) -> None:
    """To the one that is marked so, whatever its name; else to the one of the settings, which is made then."""
    junk = replace(job("ana+lists@example.com"), envelope=replace(job("ana@example.com").envelope, is_junk=True))
    stores.mailboxes.append(MailboxInfo(MailboxName("Spam"), special_uses=(SpecialUse.JUNK,)))
    service = LocalDeliveryService(stores, FakeDirectory(TABLE), offload, junk=MailboxName("Lixo"))
    await service.deliver([junk])
    stores.mailboxes.pop()
    await service.deliver([junk])
    assert ["Spam", "Lixo"] == [name for _account, name, _data in stores.delivered]
