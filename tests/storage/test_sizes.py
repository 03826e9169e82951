"""Sizes without summaries: what POP3 asks of a whole maildrop at once."""

from array import array
from collections.abc import Callable

from appliance.model.ids import INBOX, AccountName, Uid
from appliance.model.mailbox import NewMessage
from appliance.storage.mailbox import FileMailbox
from appliance.storage.stores import FileMailStores


def test_sizes_are_those_of_the_summaries(stores: FileMailStores, new_message: Callable[..., NewMessage]) -> None:
    """One size per uid in the order asked; 0 for what is not there."""
    store = stores.account(AccountName("ana"))
    store.append(INBOX, [new_message("a"), new_message("longer text"), new_message("c")])
    inbox = store.open_mailbox(INBOX)
    assert isinstance(inbox, FileMailbox)
    by_uid = {summary.uid: summary.size_bytes for summary in inbox.summaries([Uid(1), Uid(2), Uid(3)])}
    assert array("Q", [by_uid[Uid(3)], by_uid[Uid(1)], 0, by_uid[Uid(2)]]) == inbox.sizes(array("I", [3, 1, 9, 2]))
