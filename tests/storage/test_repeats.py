"""After a kill any message may be in the queue still: deleting one waits until the queue has caught up."""

from collections.abc import Callable
from typing import Any

from appliance.model.ids import INBOX, AccountName, Uid

ANA = AccountName("ana")


def test_an_expunge_waits_until_the_queue_has_caught_up(make_stores: Callable[..., Any], new_message: Callable[..., Any]) -> None:
    """A message that an earlier process delivered is asked for while the queue may repeat it, and not afterwards."""
    asked: list[list[str]] = []
    make_stores().deliver(ANA, [(INBOX, new_message(text, queue_id=text)) for text in ("Q1", "Q2")])
    stores = make_stores(ensure_settled=lambda ids: asked.append(sorted(ids)))
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    stores.may_repeat = lambda: True
    mailbox.expunge([Uid(1)])
    stores.may_repeat = lambda: False
    mailbox.expunge([Uid(2)])
    assert [["Q1"]] == asked
