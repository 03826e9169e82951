"""Keys for signing: made, changed, forgotten."""

from pathlib import Path

import pytest

from appliance.model.errors import AlreadyExistsError, CorruptError, NotFoundError
from appliance.storage.dkim_keys import DkimKeys


@pytest.fixture
def keys(tmp_path: Path) -> DkimKeys:
    return DkimKeys(tmp_path / "dkim")


def test_a_domain_gets_two_pairs(keys: DkimKeys) -> None:
    """One to use and one to publish in time; nobody else may read them."""
    made = keys.create("example.com", "c202611", 100.0)
    assert ("c202611ar", "c202611ae", "c202611br") == (made.current.rsa, made.current.ed25519, made.following.rsa)
    assert made == keys.load("example.com")
    assert ["example.com"] == keys.domains()
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (keys.directory / "example.com").iterdir()}
    assert ["rsa", "ed25519"] == [key.kind for key in keys.private_keys("example.com", made.current)]
    with pytest.raises(AlreadyExistsError):
        keys.create("example.com", "x", 1.0)


def test_rotation_and_forgetting(keys: DkimKeys) -> None:
    """What follows becomes current; the old files stay until their time is over; selectors are never used twice."""
    first = keys.create("example.com", "c", 100.0)
    marks = keys.marks()
    second = keys.rotate("example.com", "c", 200.0)
    assert (first.following.rsa, first.current.rsa, 200.0) == (second.current.rsa, second.retired[0].rsa, second.retired[0].until_s)
    assert marks != keys.marks()
    third = keys.rotate("example.com", "c", 300.0)
    pairs = [third.current, third.following, *third.retired]
    assert 4 == len({pair.rsa for pair in pairs})
    assert [first.current.rsa] == [pair.rsa for pair in keys.forget("example.com", 250.0)]
    assert not (keys.directory / "example.com" / f"{first.current.rsa}.pem").exists()
    assert 2 == len(keys.private_keys("example.com", third.retired[0]))


def test_what_is_missing_or_broken(keys: DkimKeys) -> None:
    """Each is told in its own way."""
    with pytest.raises(NotFoundError):
        keys.load("example.com")
    made = keys.create("example.com", "c", 100.0)
    pem = keys.directory / "example.com" / f"{made.current.rsa}.pem"
    pem.write_text("no key")
    with pytest.raises(CorruptError):
        keys.private_keys("example.com", made.current)
    pem.unlink()
    with pytest.raises(NotFoundError):
        keys.private_keys("example.com", made.current)
    (keys.directory / "example.com" / "keys.json").write_text("{")
    with pytest.raises(CorruptError):
        keys.load("example.com")
