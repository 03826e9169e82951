"""What the relay remembers of other servers' TLS."""

from pathlib import Path

import pytest

from appliance.model.errors import UnavailableError
from appliance.storage.tls_state import SeenLevel, StoredPolicy, TlsResult, TlsState

NOW_S = 1_700_000_000.0
TODAY = int(NOW_S // 86_400)


def test_everything_comes_back(tmp_path: Path) -> None:
    """Also from a new object over the same file, which nobody else may read."""
    policy = StoredPolicy("far.example", "1", NOW_S, NOW_S + 10, b"version: STSv1\n")
    level = SeenLevel("far.example", "TLSv1.3", True, NOW_S)
    result = TlsResult(TODAY, "far.example", "sts", "p", "mx", "192.0.2.1", "", 2)
    first = TlsState(tmp_path / "tls.db")
    first.keep_policy(StoredPolicy("far.example", "0", 0, 1, b"old"))
    first.keep_policy(policy)
    first.add([level], [result], NOW_S)
    first.add([], [result], NOW_S)
    first.close()
    second = TlsState(tmp_path / "tls.db")
    assert ([policy], [level]) == (second.policies(), second.levels())
    assert [4] == [one.sessions for one in second.results(TODAY)]
    assert 0o600 == (tmp_path / "tls.db").stat().st_mode & 0o777


def test_what_is_old_goes(tmp_path: Path) -> None:
    """Results after 15 days, policies when they expire."""
    state = TlsState(tmp_path / "tls.db")
    state.keep_policy(StoredPolicy("far.example", "1", 0, NOW_S - 1, b""))
    state.add([], [TlsResult(TODAY - 16, "far.example", "sts", "", "mx", "192.0.2.1", "")], NOW_S)
    assert ([], []) == (state.policies(), state.results(TODAY - 16))


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_file_that_cannot_be_used_is_replaced(tmp_path: Path, content: bytes) -> None:
    """Nothing in it is worth stopping for."""
    (tmp_path / "tls.db").write_bytes(content)
    assert [] == TlsState(tmp_path / "tls.db").policies()


def test_another_version_is_made_anew(tmp_path: Path) -> None:
    """Tables of another form go."""
    import apsw

    with apsw.Connection(str(tmp_path / "tls.db")) as database:
        database.execute("CREATE TABLE policy(x); PRAGMA user_version=99")
    assert [] == TlsState(tmp_path / "tls.db").policies()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """The caller hears of it in our own words."""
    with pytest.raises(UnavailableError):
        TlsState(tmp_path / "missing" / "tls.db").levels()
