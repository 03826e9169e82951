"""Files that are derived only, and opened for speed."""

from pathlib import Path

from appliance.storage.index import Index


def test_a_transaction_waits_for_no_flush(tmp_path: Path) -> None:
    """WAL and ``synchronous=NORMAL`` (1) are in force, not only asked for; so is the small cache."""
    index = Index(tmp_path / "index" / "ana.db")
    index.open()
    ask = index._connection.execute
    assert ["wal", 1, -Index.CACHE_KIB] == [ask(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "cache_size")]
    index.close()
