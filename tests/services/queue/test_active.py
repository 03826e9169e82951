"""Turns, windows and dead destinations, without any task."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.model.content import MemoryContent
from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.ids import QueueId
from appliance.model.outcome import Action, Outcome
from appliance.model.routing import NextHop
from appliance.services.queue.active import ActiveQueue, RelayGroup, is_connection_failure
from appliance.services.queue.entry import Entry, Slot

GOOD = Outcome(Action.RELAYED, "2.0.0", "ok")
REFUSED = Outcome(Action.BOUNCED, "5.1.1", "no such user")
LOST = Outcome(Action.DEFERRED, "4.4.2", "lost connection")
GREYLISTED = Outcome(Action.DEFERRED, "4.7.1", "greylisted", "450 4.7.1 greylisted")
SHUTTING_DOWN = Outcome(Action.DEFERRED, "4.3.2", "421", "421 4.3.2 shutting down")


def queue(**limits: int) -> ActiveQueue:
    """Return an empty queue with small limits."""
    return ActiveQueue(**{"max_connections": 10, "max_per_destination": 4, "initial_per_destination": 2, "max_recipients": 3, **limits})


def slots(count: int) -> list[Slot]:
    """Return recipients of one message."""
    envelope = Envelope("", (EnvelopeRecipient("x@y.example"),))
    entry = Entry(QueueId("A"), envelope, MemoryContent(b"12345"), 5, 0.0, 0.0)
    return [Slot(entry, number, envelope.recipients[0]) for number in range(count)]


def test_a_dead_destination_hands_its_queue_back_and_is_probed_later() -> None:
    """The last failed connection strands what is queued; nothing is taken until the rest is over, then one connection probes."""
    active = queue(initial_per_destination=1)
    hop = NextHop("dead.example")
    assert active.add_relay(hop, slots(7), 0.0) is None
    group = active.take_relay()
    assert group is not None
    assert active.take_relay() is None
    stranded = active.ended(group, [LOST, LOST, LOST], 0.0, 300.0)
    assert [3, 1] == [len(one.slots) for one in stranded]
    assert active.add_relay(hop, slots(1), 299.0) is LOST
    assert active.add_relay(hop, slots(2), 301.0) is None
    assert active.take_relay() is not None
    assert active.take_relay() is None


def test_revive_ends_the_rest() -> None:
    """Somebody who asks for a retry gets one at once."""
    active = queue(initial_per_destination=1)
    hop = NextHop("dead.example")
    active.add_relay(hop, slots(1), 0.0)
    group = active.take_relay()
    assert group is not None
    active.ended(group, [LOST], 0.0, 300.0)
    active.revive(hop)
    assert active.add_relay(hop, slots(1), 1.0) is None


def test_idle_destinations_are_forgotten() -> None:
    """A domain that is mailed once leaves nothing in memory; a dead one is forgotten when its rest is over."""
    active = queue(initial_per_destination=1)
    for name, outcome in (("alive.example", GOOD), ("dead.example", LOST)):
        active.add_relay(NextHop(name), slots(1), 0.0)
        group = active.take_relay()
        assert group is not None
        active.ended(group, [outcome], 0.0, 300.0)
    assert ["dead.example"] == [one.next_hop.host for one in active.destinations]
    active.prune(299.0)
    assert 1 == len(active.destinations)
    active.prune(300.0)
    assert () == active.destinations


def test_what_is_a_connection_failure() -> None:
    """Only what says something about the server for all recipients counts; greylisting and refusals do not."""
    assert is_connection_failure([LOST])
    assert is_connection_failure([LOST, SHUTTING_DOWN])
    assert not is_connection_failure([GREYLISTED])
    assert not is_connection_failure([LOST, REFUSED])
    assert not is_connection_failure([])


def test_local_batches_are_bounded_by_number_and_bytes() -> None:
    """A batch has at most so many recipients and so many bytes, but never none."""
    active = queue()
    for slot in slots(10):
        active.add_local(slot)
    assert [3, 2, 1, 4] == [len(active.take_local(*limits)) for limits in ((3, 1_000), (100, 6), (100, 1), (100, 1_000))]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["add", "good", "lost", "skip"])), max_size=200))
def test_windows_hold_whatever_happens(steps: list[tuple[int, str]]) -> None:
    """Connections never exceed any limit, nothing is lost or taken twice, and all ends when successes keep coming."""
    active = queue(max_connections=5)
    running: list[RelayGroup] = []
    added = finished = 0
    now = 0.0
    for number, what in steps:
        now += 10.0
        if what == "add":
            count = number + 1
            added += count
            if active.add_relay(NextHop(f"d{number}.example"), slots(count), now) is not None:
                finished += count
        elif running:
            group = running.pop(number % len(running))
            finished += len(group.slots)
            if what == "skip":
                active.skipped(group)
            else:
                stranded = active.ended(group, [GOOD if what == "good" else LOST] * len(group.slots), now, 50.0)
                finished += sum(len(one.slots) for one in stranded)
        while (taken := active.take_relay()) is not None:
            running.append(taken)
        assert 5 >= len(running)
        for destination in active.destinations:
            assert 4 >= destination.in_flight == sum(group.destination is destination for group in running)
            assert destination.queued == sum(len(group.slots) for group in destination.queue)
    while running:
        group = running.pop()
        finished += len(group.slots)
        active.ended(group, [GOOD] * len(group.slots), now, 50.0)
        while (taken := active.take_relay()) is not None:
            running.append(taken)
    assert added == finished


def test_many_dead_destinations_do_not_pile_up() -> None:
    """Mail to ten thousand dead domains leaves at most the recent ones in memory."""
    active = queue(initial_per_destination=1)
    for number in range(10_000):
        active.add_relay(NextHop(f"d{number}.example"), slots(1), float(number))
        group = active.take_relay()
        assert group is not None
        active.ended(group, [LOST], float(number), 300.0)
    assert 1_000 >= len(active.destinations)


def test_an_attempt_that_gets_nowhere_gives_way() -> None:
    """Servers that do not answer take no place among the connections for long; one that answers keeps its own."""
    active = ActiveQueue(max_connections=2, max_per_destination=2, initial_per_destination=1, max_recipients=50)
    for host in ("dead1.example", "dead2.example", "good.example"):
        active.add_relay(NextHop(host), slots(2), 0.0)
    stuck = [active.take_relay(0.0), active.take_relay(0.0)]
    assert active.take_relay(0.1) is None
    assert not active.give_way(0.4)
    assert active.give_way(0.6)
    good = active.take_relay(0.6)
    assert good is not None
    assert "good.example" == good.destination.next_hop.host
    active.ended(good, [GOOD, GOOD], 0.7, 300.0)
    for group in stuck:
        assert group is not None
        active.ended(group, [LOST, LOST], 30.0, 300.0)
    assert (0, 0, False) == (active._in_flight, active._stuck, active.has_unanswered)


def test_one_connection_until_the_server_is_there() -> None:
    """A second connection is made when the first has been let in, however long its message takes, and takes its place again."""
    active = queue(max_connections=3)
    for _ in range(3):
        active.add_relay(NextHop("slow.example"), slots(1), 0.0)
    first = active.take_relay(0.0)
    assert first is not None
    assert active.take_relay(0.0) is None
    assert active.give_way(0.6)
    assert (0, 1) == (active._in_flight, active._stuck)
    assert active.reached(first)
    assert not active.reached(first)
    assert (1, 0) == (active._in_flight, active._stuck)
    assert active.take_relay(0.6) is not None
    assert active.take_relay(0.6) is None, "the first connections are two"


def test_servers_that_may_not_be_there_leave_half_of_the_connections() -> None:
    """While there is mail for a server that has answered, new ones get half of the connections; otherwise all of them."""
    active = queue(max_connections=4, initial_per_destination=4)
    active.add_relay(NextHop("good.example"), slots(15), 0.0)
    first = active.take_relay()
    assert first is not None
    assert active.reached(first)
    for number in range(4):
        active.add_relay(NextHop(f"new{number}.example"), slots(1), 0.0)
    taken = [group.destination.next_hop.host for _ in range(3) if (group := active.take_relay()) is not None]
    assert ["new0.example", "new1.example", "good.example"] == taken
    active = queue(max_connections=4)
    for number in range(4):
        active.add_relay(NextHop(f"new{number}.example"), slots(1), 0.0)
    assert all(active.take_relay() is not None for _ in range(4))
