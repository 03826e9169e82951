"""Aliases in the envelope: who is reported about, and what their members are asked."""

from appliance.model.envelope import EnvelopeRecipient, Notify
from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable, LocalTarget, RemoteTarget
from appliance.protocols.smtp.events import MailRequested, RecipientRequested
from appliance.services.smtp.transaction import Transaction
from tests.services.smtp.conftest import FakeDirectory

MANY = Deliverable((LocalTarget(AccountName("ana")), RemoteTarget("eva@far.example")))
ONE = Deliverable((RemoteTarget("eva@far.example"),))
BOTH = Notify.SUCCESS | Notify.FAILURE


def expanded(resolution: Deliverable, notify: Notify | None) -> tuple[EnvelopeRecipient, ...]:
    transaction = Transaction("bob@far.example", MailRequested("bob@far.example"))
    request = RecipientRequested("team@example.com", notify, "rfc822;team@example.com")
    transaction.add("team@example.com", request, resolution, FakeDirectory(), "+")
    return transaction.recipients


def test_success_at_a_list_is_told_once() -> None:
    """The list itself is reported as expanded, its members report failures alone (RFC 3461 section 5.2.7.3)."""
    list_itself, *members = expanded(MANY, BOTH)
    assert (True, Notify.SUCCESS) == (list_itself.is_expanded, list_itself.notify)
    assert [("ana@example.com", Notify.FAILURE), ("eva@far.example", Notify.FAILURE)] == [(one.address, one.notify) for one in members]
    assert {"rfc822;team@example.com"} == {one.orcpt for one in (list_itself, *members)}


def test_other_wishes_go_to_all_members() -> None:
    """Without SUCCESS nothing is said of the list; an alias for one address passes everything on (section 5.2.7.2)."""
    assert [None, None] == [one.notify for one in expanded(MANY, None)]
    assert [Notify.NEVER] * 2 == [one.notify for one in expanded(MANY, Notify.NEVER)]
    assert [("eva@far.example", BOTH, False)] == [(one.address, one.notify, one.is_expanded) for one in expanded(ONE, BOTH)]
