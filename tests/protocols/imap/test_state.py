"""The state table."""

from appliance.protocols.imap.parser import ARGUMENTS
from appliance.protocols.imap.state import ALLOWED, TRANSITIONS, State


def test_every_state_can_be_reached() -> None:
    """From the first state all others follow."""
    seen = {State.NOT_AUTHENTICATED}
    for _ in State:
        seen |= {target for state in seen for target in TRANSITIONS[state].values()}
    assert set(State) == seen


def test_the_table_names_only_verbs_that_are_allowed() -> None:
    """A verb that moves a state may be used in it."""
    for state, moves in TRANSITIONS.items():
        assert all(state in ALLOWED[verb] for verb, _ in moves)


def test_every_verb_has_a_reader() -> None:
    """APPEND alone is read by the server, because its message is not an argument."""
    assert {"APPEND"} == set(ALLOWED) ^ set(ARGUMENTS)
