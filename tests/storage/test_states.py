"""What the index keeps of every message comes back as it was, or not at all."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.storage.states import CHUNK_UIDS, States, chunk_of, pack_chunk
from appliance.storage.table import MessageTable

MESSAGES = st.dictionaries(
    st.integers(1, 3 * CHUNK_UIDS),
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.sampled_from([b"", b"a" * 16, b"b" * 16])),
    max_size=40,
)


def table_of(messages: dict[int, tuple[int, int, int, bytes]]) -> MessageTable:
    table = MessageTable()
    for uid in sorted(messages):
        table.append(uid, messages[uid][0], messages[uid][2])
        table.modseqs[-1] = messages[uid][1]
    return table


def packed(messages: dict[int, tuple[int, int, int, bytes]]) -> list[bytes]:
    table = table_of(messages)
    chunks = sorted({chunk_of(uid) for uid in messages})
    hashes = {uid: row[3] for uid, row in messages.items() if row[3]}
    return [pack_chunk(table, chunk, hashes) for chunk in chunks]


@settings(deadline=None)
@given(messages=MESSAGES)
def test_packed_and_back(messages: dict[int, tuple[int, int, int, bytes]]) -> None:
    """Each message with a modseq is there with all that is known of it."""
    states = States(packed(messages))
    expected = {uid: row for uid, row in messages.items() if row[1]}
    assert sorted(expected) == list(states.uids)
    columns = zip(states.uids, states.flags, states.modseqs, states.sizes, strict=True)
    assert {uid: row[:3] for uid, row in expected.items()} == {uid: row for uid, *rest in columns for row in [tuple(rest)]}
    assert {row[3] for row in expected.values() if row[3]} == set(states.hashes)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_spoilt_chunk_is_not_known(at: int, bit: int) -> None:
    """One bit that changed on the disk takes its chunk out, and only that."""
    first, second = packed({1: (1, 2, 3, b""), 2: (4, 5, 6, b"h" * 16), CHUNK_UIDS: (7, 8, 9, b"")})
    spoilt = bytearray(first)
    spoilt[at % len(spoilt)] ^= 1 << bit
    assert [CHUNK_UIDS] == list(States([bytes(spoilt), second]).uids)


def test_nothing_left() -> None:
    """A chunk without messages is empty, so that its row can go."""
    assert b"" == pack_chunk(MessageTable(), 0, {})
    assert [] == list(States([b"", b"x"]).uids)
