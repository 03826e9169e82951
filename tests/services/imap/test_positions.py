"""Sets of positions answer what sets do, in steps that are short."""

from array import array
from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.services.imap import positions
from appliance.services.imap.positions import located, merged, with_flag, without

ASCENDING = st.sets(st.integers(0, 60)).map(sorted)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "BLOCK", 7)


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 2**64 - 1), max_size=80), number=st.integers(0, 63), has=st.booleans(), every=st.integers(1, 3))
def test_with_flag(values: list[int], number: int, has: bool, every: int) -> None:
    """A flag is found, or found missing, whichever of the 64 it is, in all messages or some."""
    flags, bit = array("Q", values), 1 << number
    among = range(0, len(values), every)
    assert [at for at in among if bool(values[at] & bit) is has] == list(with_flag(flags, bit, among, has=has))


def test_with_no_flag() -> None:
    """A keyword that no message has is no bit: none has it, all lack it."""
    flags = array("Q", [1, 2])
    assert [] == list(with_flag(flags, 0, range(2), has=True))
    assert [0, 1] == list(with_flag(flags, 0, range(2), has=False))


@settings(deadline=None)
@given(one=ASCENDING, other=ASCENDING)
def test_without_and_merged(one: list[int], other: list[int]) -> None:
    """Taking away and putting together are those of sets."""

    async def main() -> None:
        assert sorted({*one} - {*other}) == list(await without(one, other))
        assert sorted({*one, *other}) == list(await merged(one, other))

    trio.run(main)


@settings(deadline=None)
@given(uids=st.sets(st.integers(1, 90)).map(sorted), mine=st.sets(st.integers(1, 90)).map(sorted), data=st.data())
def test_located(uids: list[int], mine: list[int], data: st.DataObject) -> None:
    """Uids stand where the mailbox has them, of the positions asked for."""
    among = sorted(data.draw(st.sets(st.integers(0, len(mine) - 1)))) if mine else []

    async def main() -> None:
        assert [at for at in among if mine[at] in uids] == list(await located(uids, array("I", mine), among))

    trio.run(main)


@pytest.mark.parametrize("work", [without, merged, lambda one, other: located(other, array("I", one), range(len(one)))])
async def test_others_have_their_turn(work: Callable[..., object]) -> None:
    """Many positions are gone through in several steps."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await work(range(70), range(0, 70, 2))  # type: ignore[misc]
        nursery.cancel_scope.cancel()
    assert turns >= 9
