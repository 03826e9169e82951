"""Quota of storage, messages and mailboxes, in both formats."""

from collections.abc import Callable

import pytest

from appliance.model.errors import OverQuotaError, TooManyMailboxesError, TooManyMessagesError
from appliance.model.ids import INBOX, AccountName, MailboxName, Uid
from appliance.model.mailbox import NewMessage, QuotaLimits, QuotaResource
from appliance.storage.quota import RECOUNT_S, Quota
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
SENT = MailboxName("Sent")
StoresMaker = Callable[..., FileMailStores]
NewMessageMaker = Callable[..., NewMessage]


def used(stores: FileMailStores) -> dict[QuotaResource, int]:
    return {use.resource: use.used for use in stores.account(ANA).quota()}


def test_no_limit_no_quota(stores: FileMailStores) -> None:
    """Who may use all is told nothing."""
    assert [] == list(stores.account(ANA).quota())


def test_messages_are_limited(make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
    """By APPEND, COPY and delivery; MOVE adds none, EXPUNGE makes room."""
    stores = make_stores(quotas={ANA: QuotaLimits(messages=3)})
    store = stores.account(ANA)
    store.append(INBOX, [new_message(), new_message("two")])
    inbox = store.open_mailbox(INBOX)
    with pytest.raises(TooManyMessagesError):
        inbox.copy_to([Uid(1), Uid(2)], SENT)
    inbox.copy_to([Uid(1)], SENT)
    assert {QuotaResource.MESSAGE: 3} == used(stores)
    with pytest.raises(TooManyMessagesError):
        store.append(SENT, [new_message("three")])
    (result,) = stores.deliver(ANA, [(INBOX, new_message("four", queue_id="Q4"))])
    assert isinstance(result, TooManyMessagesError)
    inbox.move_to([Uid(2)], SENT)
    inbox.expunge([Uid(1)])
    assert {QuotaResource.MESSAGE: 2} == used(stores)
    assert [None, None] != stores.deliver(ANA, [(INBOX, new_message(text, queue_id=text)) for text in ("Q5", "Q6")])
    assert {QuotaResource.MESSAGE: 3} == used(stores)
    assert {QuotaResource.MESSAGE: 3} == used(make_stores(quotas={ANA: QuotaLimits(messages=3)}))


def test_mailboxes_are_limited(make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
    """Missing parents count, of CREATE and of RENAME; delivery makes none beyond the limit either."""
    stores = make_stores(quotas={ANA: QuotaLimits(mailboxes=4)})
    store = stores.account(ANA)
    with pytest.raises(TooManyMailboxesError):
        store.create_mailbox(MailboxName("a/b/c"))
    store.create_mailbox(MailboxName("a/b"))
    with pytest.raises(TooManyMailboxesError):
        store.rename_mailbox(SENT, MailboxName("x/y"))
    (result,) = stores.deliver(ANA, [(MailboxName("new"), new_message("a", queue_id="Q1"))])
    assert isinstance(result, TooManyMailboxesError)
    assert {QuotaResource.MAILBOX: 4} == used(stores)
    store.rename_mailbox(MailboxName("a"), MailboxName("b"))
    store.delete_mailbox(MailboxName("b/b"))
    assert {QuotaResource.MAILBOX: 3} == used(stores)


def test_storage_is_told(make_stores: StoresMaker, new_message: NewMessageMaker) -> None:
    """Bytes and messages together; a reload changes the limits of accounts that are open."""
    stores = make_stores(quotas={ANA: QuotaLimits(storage_bytes=2_000)})
    store = stores.account(ANA)
    store.append(INBOX, [new_message(data=b"A: b\r\n\r\n" + b"x" * 1_500 + b"\r\n")])
    assert 1_500 < used(stores)[QuotaResource.STORAGE] < 2_000
    with pytest.raises(OverQuotaError):
        store.append(INBOX, [new_message(data=b"A: b\r\n\r\n" + b"x" * 1_500 + b"\r\n")])
    stores.set_quotas({ANA: QuotaLimits(5_000, 10, 20)})
    assert {QuotaResource.MESSAGE: 1, QuotaResource.MAILBOX: 2} == {
        resource: count for resource, count in used(stores).items() if resource is not QuotaResource.STORAGE
    }


class Counted:
    """What other programs left."""

    left = (100, 1)
    looks = 0

    def usage(self, *, messages: bool) -> tuple[int, int]:
        self.looks += 1
        return self.left

    def count_mailboxes(self) -> int:
        return 1


def test_counting_again() -> None:
    """Before anything is refused, but not more often than every ten seconds."""
    now_s = [1_000.0]
    layout = Counted()
    quota = Quota("ana", lambda: QuotaLimits(100, 5), layout, lambda: now_s[0])
    with pytest.raises(OverQuotaError):
        quota.check_room(1, 1)
    layout.left = (10, 1)
    with pytest.raises(OverQuotaError):
        quota.check_room(1, 1)
    assert 1 == layout.looks
    now_s[0] += RECOUNT_S
    quota.check_room(1, 1)
    quota.note(90, 4)
    assert 2 == layout.looks
    with pytest.raises(OverQuotaError):
        quota.check_room(1, 0)
    quota.note(-50, 0)
    with pytest.raises(TooManyMessagesError):
        quota.check_room(0, 1)
