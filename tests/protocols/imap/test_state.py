"""The state table."""

from collections.abc import Iterator

from appliance.protocols.imap.commands import Command
from appliance.protocols.imap.state import State
from appliance.protocols.imap.verbs import VERBS


def test_every_state_can_be_reached() -> None:
    """From the first state all others follow."""
    seen = {State.NOT_AUTHENTICATED}
    for _ in State:
        seen |= {target for verb in VERBS.values() if seen & verb.states for target in verb.moves.values()}
    assert set(State) == seen


def test_logout_is_the_end() -> None:
    """No verb may be used behind it."""
    assert [] == [name for name, verb in VERBS.items() if State.LOGOUT in verb.states or not verb.states]


def test_every_verb_has_a_reader() -> None:
    """APPEND and REPLACE alone are read by the server, because their message is not an argument."""
    assert ["APPEND", "REPLACE"] == [name for name, verb in VERBS.items() if verb.read is None]


def _kinds(base: type[Command]) -> Iterator[type[Command]]:
    """Yield the classes that nothing is derived from."""
    for kind in base.__subclasses__():
        yield from _kinds(kind) if kind.__subclasses__() else (kind,)


def test_every_command_has_its_verb() -> None:
    """Each value that the grammar delivers names a row of the table."""
    kinds = {kind.verb for kind in _kinds(Command) if kind.verb}
    assert {"APPEND", "REPLACE"} == set(VERBS) ^ kinds
