"""The tables of the POP3 state machine."""

from appliance.protocols.pop3.state import OUTCOMES, TRANSITIONS, State, Verb


def test_every_state_has_a_row() -> None:
    """The command table is total over the states."""
    assert set(State) == set(TRANSITIONS)


def test_every_state_is_reached() -> None:
    """From AUTHORIZATION every state can be entered by commands and outcomes."""
    reached = {State.AUTHORIZATION}
    pending = [State.AUTHORIZATION]
    while pending:
        state = pending.pop()
        following = {*TRANSITIONS[state].values(), *OUTCOMES.get(state, {}).values()}
        pending.extend(following - reached)
        reached |= following
    assert set(State) == reached


def test_every_verb_is_valid_somewhere() -> None:
    """No command is known to the grammar but refused in every state."""
    assert set(Verb) == {verb for row in TRANSITIONS.values() for verb in row}


def test_waiting_states_take_no_command_and_have_a_way_out() -> None:
    """While an outcome is open nothing is parsed, and each such state can be left."""
    for state in (State.AUTHENTICATING, State.NEGOTIATING, State.UPDATE, State.SASL_RESPONSE):
        assert {} == dict(TRANSITIONS[state])
        assert OUTCOMES[state]


def test_update_is_entered_from_transaction_alone() -> None:
    """QUIT before login must never lead to UPDATE (RFC 1939 section 6)."""
    assert [State.TRANSACTION] == [state for state, row in TRANSITIONS.items() if State.UPDATE in row.values()]
