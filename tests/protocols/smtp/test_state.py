"""The table of states: total, connected, and as the RFCs say."""

from appliance.protocols.smtp.state import TRANSITIONS, Signal, State, Verb


def test_total() -> None:
    """Every state says something about every verb and signal."""
    assert set(State) == set(TRANSITIONS)
    for row in TRANSITIONS.values():
        assert {*Verb, *Signal} == set(row)


def test_every_state_is_reached_and_every_state_can_end() -> None:
    """No state is dead, none is a trap."""
    reached = {State.CONNECTED}
    while new := {state for here in reached for state in TRANSITIONS[here].values() if state} - reached:
        reached |= new
    assert set(State) == reached
    assert all(State.CLOSED is row[Signal.LOST] for row in TRANSITIONS.values())


def test_quit_and_ehlo_where_commands_are_read() -> None:
    """QUIT, EHLO and NOOP are taken wherever commands are."""
    reading = {state for state, row in TRANSITIONS.items() if row[Verb.NOOP]}
    assert {State.START, State.READY, State.MAIL, State.RCPT, State.BDAT} == reading
    for state in reading:
        row = TRANSITIONS[state]
        assert (State.READY, State.CLOSED, state) == (row[Verb.EHLO], row[Verb.QUIT], row[Verb.NOOP])
