"""The text file beside a mailbox."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.storage.attributes import AttributeFile
from appliance.storage.fileops import FileOps

KEYS = st.text("abc/-.0", min_size=1, max_size=8)


class MemoryOps(FileOps):
    """One file, in memory."""

    data = b""

    def read_file(self, path: bytes) -> bytes:
        return self.data

    def replace_file(self, path: bytes, data: bytes) -> None:
        self.data = data


@given(st.dictionaries(KEYS, st.binary(max_size=40), min_size=1))
def test_what_is_written_is_read(values: dict[str, bytes]) -> None:
    """Any octets come back, and the file has one line each."""
    ops = MemoryOps()
    AttributeFile(ops, b"x").write(values)
    assert values == AttributeFile(ops, b"x").read()
    assert len(values) == ops.data.count(b"\n")


@given(st.binary(max_size=200))
def test_any_file_can_be_read(data: bytes) -> None:
    """A damaged file has fewer values, not none at all, and never fails."""
    ops = MemoryOps()
    ops.data = data + b"\n/private/comment\tkept\n"
    assert b"kept" == AttributeFile(ops, b"x").read()["/private/comment"]


def test_people_can_read_it(tmp_path: Path) -> None:
    """Text stands as it is, line ends are escaped, and a file without values is not there."""
    path = tmp_path / "x.metadata"
    file = AttributeFile(FileOps(), bytes(path))
    assert {} == file.read()
    file.write({"/private/comment": "São\r\nPaulo\t\\ \0".encode()})
    assert "/private/comment\tSão\\r\\nPaulo\\t\\\\ \\x00\n" == path.read_text(encoding="utf-8")
    file.write({})
    assert not path.exists()
    file.write({})
