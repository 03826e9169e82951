"""What keeps a server from starting is told with the fix that fits."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.app import wiring
from appliance.app.wiring import SetupError
from appliance.config.schema import Config, OauthConfig
from appliance.model.errors import InUseError
from appliance.net.clock import SystemClock
from appliance.observe.maillog import MailLog
from appliance.storage.spool import Spool


def refuse(number: int) -> Callable[..., Any]:
    """Return a disk operation that fails."""

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError(number, errno.errorcode[number], "/data")

    return fail


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "the disk is full: free some space on it"),
        (errno.EDQUOT, "the disk is full: free some space on it"),
        (errno.EROFS, "that file system is read-only: mount it"),
        (errno.EACCES, "check `data` in the settings and who owns"),
    ],
)
def test_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fix: str) -> None:
    """A first start on a full or read-only disk says so at each thing that it makes."""
    monkeypatch.setattr(wiring, "ensure_local_certificate", refuse(number))
    monkeypatch.setattr(wiring, "replace_file", refuse(number))
    monkeypatch.setattr(Path, "mkdir", refuse(number))
    (tmp_path / "keys").touch()
    works: list[Callable[[], object]] = [
        lambda: wiring._prepare(tmp_path),
        lambda: wiring._server_secret(tmp_path / "missing"),
        lambda: wiring._certificate(Config(domain="example.com"), tmp_path, SystemClock(), MailLog()),
    ]
    for work in works:
        with pytest.raises(SetupError) as caught:
            work()
        assert fix in caught.value.fix


def test_a_full_disk_under_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue's own refusal is told in the same words; another server on the same data in others."""

    def full(_spool: Spool) -> None:
        from appliance.model.errors import OutOfSpaceError

        raise OutOfSpaceError("database or disk is full")

    def used(_spool: Spool) -> None:
        raise InUseError("/data/queue is in use by another process")

    monkeypatch.setattr(Spool, "open", full)
    with pytest.raises(SetupError, match="cannot open the queue: database or disk is full; the disk is full"):
        wiring._open_spool(tmp_path)
    monkeypatch.setattr(Spool, "open", used)
    with pytest.raises(SetupError, match="in use by another process; stop the other carteiro"):
        wiring._open_spool(tmp_path)


def test_the_keys_of_an_issuer(tmp_path: Path) -> None:
    """Off without settings; a file that is missing or holds no key keeps the server from starting."""
    assert wiring.bearer_tokens(Config(domain="example.com")) is None
    path = tmp_path / "keys.pem"
    config = Config(domain="example.com", oauth=OauthConfig(issuer="i", audience="a", keys_file=str(path)))
    with pytest.raises(SetupError, match="No such file or directory"):
        wiring.bearer_tokens(config)
    path.write_text("nothing")
    with pytest.raises(SetupError, match="holds no public key"):
        wiring.bearer_tokens(config)
