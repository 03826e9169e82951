"""``carteiro dkim check``: published, missing, another key, nobody knows."""

import json
from pathlib import Path

import pytest
import trio

from appliance.app import dkim_check
from appliance.app.cli import main
from appliance.app.dkim_check import look_at
from appliance.net.resolver import ResolveError
from appliance.policy.dkim_sign import key_record
from appliance.storage.dkim_keys import DkimKeys


class Names:
    """Answers from a table; ``fails``: names that nobody can tell of."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.fails: set[str] = set()

    async def texts(self, name: str) -> tuple[bytes, ...]:
        await trio.lowlevel.checkpoint()
        if name in self.fails:
            raise ResolveError("the name server does not answer", temporary=True)
        return (self.records[name].encode(),) if name in self.records else ()


def publish(names: Names, keys: DkimKeys) -> list[str]:
    """Publish all keys of example.com; return the names of the records."""
    domain = keys.load("example.com")
    for pair in (domain.current, domain.following, *domain.retired):
        for key in keys.private_keys("example.com", pair):
            names.records[f"{key.selector}._domainkey.example.com"] = key_record(key.kind, key.public)
    return list(names.records)


async def test_each_key_is_looked_at(tmp_path: Path) -> None:
    """Those that sign, that follow and that have signed."""
    keys, names = DkimKeys(tmp_path), Names()
    keys.create("example.com", "c1", 0.0)
    keys.rotate("example.com", "c2", 100.0)
    current, second, following, _, retired, _ = publish(names, keys)
    del names.records[current]
    names.records[second] = names.records[following]
    names.fails.add(retired)
    found = await look_at(keys, keys.load("example.com"), names)
    assert [
        ("current", "missing"), ("current", "other"), ("following", "published"), ("following", "published"), ("retired", "unknown"),
        ("retired", "published"),
    ] == [(one.use, one.status) for one in found]  # fmt: skip


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each key and a code; as JSON too."""
    keys, names = DkimKeys(tmp_path / "keys" / "dkim"), Names()
    keys.create("example.com", "c1", 0.0)
    publish(names, keys)
    monkeypatch.setattr(dkim_check, "Resolver", lambda *_args, **_more: names)
    arguments = ["dkim", "check", "--data", str(tmp_path), "-c", str(tmp_path / "none.toml")]
    assert 0 == main(arguments)
    assert 4 == capsys.readouterr().out.count("is published")
    del names.records[next(iter(names.records))]
    assert 1 == main([*arguments, "Example.com", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["missing", "published", "published", "published"] == [line["status"] for line in lines]
    assert 1 == main(arguments)
    assert "(current) is not in the DNS" in capsys.readouterr().out
