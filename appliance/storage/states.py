"""What the index keeps of every message - uid, flags, modseq, size - packed by the chunk.

A chunk holds the messages of ``CHUNK_UIDS`` uids as columns end to end, so that a mailbox
of 100,000 messages is written and read as 400 rows instead of 100,000. Its
first octets are a checksum: what a disk has spoilt is as if nothing were known.

Fails: never.
Sources: measurements of packed arrays against rows; design section 5.
"""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import compress
from typing import Final

from appliance.storage.table import MessageTable

__all__ = ["CHUNK_UIDS", "States", "chunk_of", "pack_chunk"]

CHUNK_UIDS: Final = 256
_HASH_BYTES: Final = 16
_NO_HASH: Final = bytes(_HASH_BYTES)
_COLUMNS: Final = ("I", "Q", "Q", "Q")
_ROW_BYTES: Final = 28
_SUM_BYTES: Final = 4


def chunk_of(uid: int) -> int:
    """Return the number of the chunk that a uid belongs to."""
    return uid // CHUNK_UIDS


def pack_chunk(table: MessageTable, chunk: int, hashes: Mapping[int, bytes]) -> bytes:
    """Return a chunk of the table as it is now, empty when no message of it is left.

    A message without a modseq yet is left out. ``hashes``: header hashes by uid, see ``Folder.header_hashes``.
    """
    low, high = bisect_left(table.uids, chunk * CHUNK_UIDS), bisect_left(table.uids, (chunk + 1) * CHUNK_UIDS)
    columns = [column[low:high] for column in (table.uids, table.flags, table.modseqs, table.sizes)]
    modseqs = columns[2]
    if 0 in modseqs:
        columns = [array(column.typecode, compress(column, modseqs)) for column in columns]
    uids = columns[0]
    if not uids:
        return b""
    found = [hashes.get(uid) or _NO_HASH for uid in uids] if hashes and not hashes.keys().isdisjoint(uids) else ()
    data = b"".join([*(column.tobytes() for column in columns), *found])
    return zlib.crc32(data).to_bytes(_SUM_BYTES, "big") + len(uids).to_bytes(2, "big") + data


class States:
    """All chunks of a mailbox as columns, ascending by uid. ``hashes``: header hash to uid, where a message has one."""

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        self.uids, self.flags, self.modseqs, self.sizes = (array(code) for code in _COLUMNS)
        self.hashes: dict[bytes, int] = {}
        for chunk in chunks:
            self._add(chunk)

    def _add(self, chunk: bytes) -> None:
        checksum, count, data = chunk[:_SUM_BYTES], int.from_bytes(chunk[_SUM_BYTES : _SUM_BYTES + 2], "big"), chunk[_SUM_BYTES + 2 :]
        hashed = len(data) - count * _ROW_BYTES
        if checksum != zlib.crc32(data).to_bytes(_SUM_BYTES, "big") or hashed not in {0, count * _HASH_BYTES}:
            return
        begin = 0
        for column in (self.uids, self.flags, self.modseqs, self.sizes):
            end = begin + count * column.itemsize
            column.frombytes(data[begin:end])
            begin = end
        for at, uid in enumerate(self.uids[-count:] if hashed else ()):
            found = data[begin + at * _HASH_BYTES : begin + (at + 1) * _HASH_BYTES]
            if found != _NO_HASH:
                self.hashes[found] = uid
