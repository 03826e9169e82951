"""``carteiro dkim``: keys and the records that publish them."""

import json
from pathlib import Path

import pytest

from appliance.app.cli import main


def test_new_list_rotate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The record of what follows becomes that of what is current; the old one is kept for a while."""
    assert 0 == main(["dkim", "new", "--data", str(tmp_path), "Example.com"])
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(";")]
    assert 4 == len(lines)
    assert all("._domainkey.example.com. IN TXT " in line for line in lines)
    assert 0 == main(["dkim", "rotate", "--data", str(tmp_path), "--json", "example.com"])
    assert lines[2:] == json.loads(capsys.readouterr().out)["current"]
    assert 0 == main(["dkim", "list", "--data", str(tmp_path)])
    assert "keep their records" in capsys.readouterr().out
    assert 0 == main(["dkim", "forget", "--data", str(tmp_path), "example.com"])
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "code"), [(["rotate", "missing.example"], 73), (["new", "no domain"], 64)])
def test_what_cannot_be_done(tmp_path: Path, arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence and a code."""
    assert code == main(["dkim", arguments[0], "--data", str(tmp_path), arguments[1]])
    assert capsys.readouterr().err.startswith("carteiro: ")
