"""Which profiles one session meets."""

from appliance.model.caught import Fault
from appliance.policy.caught_faults import Faults, Jim
from appliance.policy.caught_session import FaultBook


class Luck:
    def __init__(self) -> None:
        self.value = 0.99


def _faults(luck: Luck) -> Faults:
    return Faults(chance=lambda: luck.value, monotonic_s=lambda: 0.0)


def _code(fault: Fault | None) -> int:
    return fault.code if fault is not None else 0


def test_the_inbox_is_asked_before_the_rest() -> None:
    """By login or by recipient; a stranger to it meets the general profile alone."""
    luck = Luck()
    general, inbox = _faults(luck), _faults(luck)
    inbox.set_chaos({**inbox.chaos, "Sender": (452, 100), "Recipient": (450, 100), "Authentication": (535, 0)})
    inbox.without = frozenset({"CHUNKING"})
    general.set_chaos({**general.chaos, "Sender": (421, 100)})
    general.without = frozenset({"DSN"})
    book = FaultBook(general, lambda login, recipient: inbox if "ana" in (login, recipient.partition("@")[0]) else None)
    stranger = book.begin("::1")
    assert (0, 0, 421, 0) == (
        _code(stranger.at_greeting()),
        _code(stranger.at_login("bob")),
        _code(stranger.at_sender("")),
        _code(stranger.at_recipient("", "bob@a.test")),
    )
    assert {"DSN"} == set(stranger.without)
    assert 450 == _code(stranger.at_recipient("", "ana@a.test"))
    assert {"DSN", "CHUNKING"} == set(stranger.without)
    friend = book.begin("::1")
    assert (0, 0, 452) == (_code(friend.at_greeting()), _code(friend.at_login("ana")), _code(friend.at_sender("")))


def test_an_address_is_asked_once() -> None:
    """Greylisting by address refuses once, not once in each profile."""
    luck = Luck()
    general, inbox = _faults(luck), _faults(luck)
    session = FaultBook(general, lambda _login, _recipient: inbox).begin("::1")
    assert [450, 0] == [_code(session.at_recipient("", "greylist@a.test")) for _ in range(2)]
    assert 550 == _code(session.at_sender("mail-550@a.test"))


def test_so_many_sessions() -> None:
    """The next is turned away until one ends; an inbox counts its own."""
    luck = Luck()
    general, inbox = _faults(luck), _faults(luck)
    general.max_connections, inbox.max_connections = 2, 1
    book = FaultBook(general, lambda login, _recipient: inbox if login else None)
    sessions = [book.begin("::1") for _ in range(3)]
    assert [0, 0, 421] == [_code(session.at_greeting()) for session in sessions]
    for session in (sessions[2], sessions[2]):
        session.close()
    assert [0, 421] == [_code(session.at_login("ana")) for session in sessions[:2]]
    sessions[0].close()
    third = book.begin("::1")
    assert 0 == _code(third.at_greeting())
    assert (2, 1) == (general.sessions, inbox.sessions)


def test_the_slower_link_counts() -> None:
    """The speed is drawn once for each session: the monkey's between its bounds."""
    luck = Luck()
    general, inbox = _faults(luck), _faults(luck)
    general.bytes_per_s, inbox.bytes_per_s = 1_000, 500
    session = FaultBook(general, lambda login, _recipient: inbox if login else None).begin("::1")
    assert 0 == session.bytes_per_s
    session.at_greeting()
    assert 1_000 == session.bytes_per_s
    session.at_login("ana")
    assert 500 == session.bytes_per_s
    luck.value = 0.5
    general.jim = Jim(LinkSpeedAffect=1.0, LinkSpeedMin=100, LinkSpeedMax=200)
    other = FaultBook(general).begin("::1")
    other.at_greeting()
    assert 150 == other.bytes_per_s


def test_the_monkey_at_the_door_and_tls() -> None:
    """AcceptChance is the chance to be let in; TLS fails in words or in the handshake."""
    luck = Luck()
    general = _faults(luck)
    general.jim = Jim(AcceptChance=0.5)
    assert Fault(hang_up=True) == FaultBook(general).begin("::1").at_greeting()
    luck.value = 0.4
    session = FaultBook(general).begin("::1")
    assert None is session.at_greeting()
    assert None is session.at_tls()
    general.tls_percent = 50
    assert 454 == _code(session.at_tls())
    general.tls_breaks = True
    assert Fault(hang_up=True) == session.at_tls()


def test_the_first_recipient_that_asks_decides() -> None:
    """At DATA and at the end."""
    session = FaultBook(_faults(Luck())).begin("::1")
    assert 554 == _code(session.at_data(["ana@b.test", "data-554@b.test"]))
    assert (None, 452) == (session.at_end(["ana@b.test"]), _code(session.at_end(["end-452@b.test"])))
