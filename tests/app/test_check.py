"""The command check: errors, warnings, exit codes."""

import argparse
import datetime
import json
import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from appliance.app import check

OPTIONS = 'domain = "example.com"\nhostname = "mail.example.com"\ndata = "data"\n'
USER = '[[users]]\nname = "ana"\npassword = "$argon2id$v=19$m=64,t=2,p=1$c2FsdA$aGFzaA"\n'
TLS = '[tls]\ncertificate_file = "cert.pem"\nkey_file = "key.pem"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with settings and data, all in order, on a machine that lets us open port 25."""
    monkeypatch.setattr(check, "_first_unprivileged_port", lambda: 0)
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path


def findings(home: Path, text: str, mode: int = 0o600) -> list[tuple[str, int, str, str]]:
    """Return level, line, key and message of each finding; the exit code must fit."""
    path = home / "c.toml"
    path.write_text(text)
    path.chmod(mode)
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    args = parser.parse_args(["-c", str(path)])
    found = check._findings(str(path))
    assert check.run(args) == (78 if any(finding.is_error for finding in found) else 0)
    return [("error" if each.is_error else "warning", each.problem.line, each.problem.key, each.problem.message) for each in found]


def certificate(home: Path, name: str = "mail.example.com", expires: datetime.datetime | None = None) -> None:
    """Put a certificate and its key beside the settings."""
    issued = trustme.CA().issue_cert(name, not_after=expires)
    issued.cert_chain_pems[0].write_to_path(home / "cert.pem")
    issued.private_key_pem.write_to_path(home / "key.pem")
    (home / "key.pem").chmod(0o600)


def test_a_file_in_order_has_no_findings(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so."""
    certificate(home)
    assert findings(home, OPTIONS + USER + TLS) == []
    assert "is fine" in capsys.readouterr().out


def test_every_error_is_told_for_people_and_machines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file and line; as JSON too."""
    assert [each[:3] for each in findings(home, "domain = 1\nx = 2\n")] == [("error", 1, "domain"), ("error", 2, "x")]
    assert f"error: {home}/c.toml:2: x: unknown setting" in capsys.readouterr().err
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    assert check.run(parser.parse_args(["--json", "-c", str(home / "c.toml")])) == 78
    rows = json.loads(capsys.readouterr().out)
    assert rows[1] == {"level": "error", "file": str(home / "c.toml"), "line": 2, "key": "x", "message": "unknown setting"}


def test_permissions_are_looked_at(home: Path) -> None:
    """Secrets for everybody, a file that everybody may change, an open data directory."""
    (warning,) = findings(home, OPTIONS + USER, 0o604)
    assert (warning[0], "chmod o-r" in warning[3]) == ("warning", True)
    (error,) = findings(home, OPTIONS + USER, 0o602)
    assert (error[0], "chmod o-w" in error[3]) == ("error", True)
    (home / "data").chmod(0o755)
    (warning,) = findings(home, OPTIONS + USER)
    assert warning[:3] == ("warning", 3, "data")
    assert "chmod 700" in warning[3]


def test_the_data_directory_must_be_one(home: Path) -> None:
    """A missing one is made at start; a file in its place is an error."""
    (home / "data").rmdir()
    assert findings(home, OPTIONS + USER) == []
    (home / "data").write_text("")
    assert [each[:3] for each in findings(home, OPTIONS + USER)] == [("error", 3, "data")]


def test_the_system_user_must_exist(home: Path) -> None:
    """Told at the key."""
    assert [each[:3] for each in findings(home, OPTIONS + 'user = "no-such-user-here"\n' + USER)] == [("error", 4, "user")]


def test_plain_passwords_and_missing_users_are_warned_of(home: Path) -> None:
    """The server starts all the same."""
    text = OPTIONS + '[[users]]\nname = "ana"\npassword = "{PLAIN}x"\n'
    assert [each[:3] for each in findings(home, text)] == [("warning", 6, "users[1].password")]
    assert [each[:3] for each in findings(home, OPTIONS)] == [("warning", 0, "users")]


def test_sockets_need_their_directory(home: Path) -> None:
    """A Unix socket cannot be made where nothing is."""
    text = OPTIONS + USER + f'[lmtp]\nlisten = ["unix:{home}/none/lmtp"]\n'
    assert [each[:3] for each in findings(home, text)] == [("warning", 8, "lmtp.listen[1]")]


def test_low_ports_need_a_privilege(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only listeners below the system's first free port are told, and only to who may not open them."""
    monkeypatch.setattr(os, "geteuid", lambda: (home / "data").stat().st_uid or 4_321)
    monkeypatch.setattr(check, "_has_bind_capability", lambda: False)
    monkeypatch.setattr(check, "_first_unprivileged_port", lambda: 100)
    found = [each for each in findings(home, OPTIONS + USER) if "privilege" in each[3]]
    assert [each[2] for each in found] == ["smtp.listen[1]", "smtp.listen[2]"]


def test_the_machine_is_asked_for_privileges() -> None:
    """Whatever the answer, it is one."""
    answer: bool = check._has_bind_capability()
    assert isinstance(answer, bool)
    assert check._first_unprivileged_port() >= 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give directories away")
def test_the_data_directory_must_belong_to_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the system user of the settings; without one, to whoever runs this."""
    text = OPTIONS + 'user = "daemon"\n' + USER
    (error,) = findings(home, text)
    assert (error[0], "chown -R daemon" in error[3]) == ("error", True)
    monkeypatch.setattr(os, "geteuid", lambda: 4_321)
    (warning,) = findings(home, OPTIONS + USER)
    assert (warning[0], "belongs to another user" in warning[3]) == ("warning", True)


def test_a_certificate_that_is_not_valid_yet_is_warned_of(home: Path) -> None:
    """Most often the clock is wrong."""
    issued = trustme.CA().issue_cert("mail.example.com", not_before=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2))
    issued.cert_chain_pems[0].write_to_path(home / "cert.pem")
    issued.private_key_pem.write_to_path(home / "key.pem")
    (home / "key.pem").chmod(0o600)
    assert [(each[0], "is the clock right?" in each[3]) for each in findings(home, OPTIONS + USER + TLS)] == [("warning", True)]


def test_certificates_must_be_readable_and_belong_to_their_key(home: Path) -> None:
    """Missing files, a foreign key, files that are none, a key with a passphrase."""
    text = OPTIONS + USER + TLS
    (error,) = findings(home, text)
    assert (error[0], error[2], "cannot be read" in error[3]) == ("error", "tls.certificate_file", True)
    certificate(home)
    key = (home / "key.pem").read_bytes()
    trustme.CA().issue_cert("x.example").private_key_pem.write_to_path(home / "key.pem")
    (error,) = findings(home, text)
    assert (error[2], "is not the key of" in error[3]) == ("tls.key_file", True)
    locked = load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    (home / "key.pem").write_bytes(locked)
    (error,) = findings(home, text)
    assert (error[2], "no usable private key" in error[3]) == ("tls.key_file", True)
    (home / "cert.pem").write_text("nothing")
    (error,) = findings(home, text)
    assert (error[2], "holds no certificate" in error[3]) == ("tls.certificate_file", True)


def test_certificates_must_be_in_date_and_for_this_name(home: Path) -> None:
    """Expired is an error; soon, another name or an open key file are warnings."""
    text = OPTIONS + USER + TLS
    now = datetime.datetime.now(datetime.UTC)
    certificate(home, expires=now - datetime.timedelta(days=1))
    assert [(each[0], "expired on" in each[3]) for each in findings(home, text)] == [("error", True)]
    certificate(home, expires=now + datetime.timedelta(days=3))
    assert [(each[0], "expires on" in each[3]) for each in findings(home, text)] == [("warning", True)]
    certificate(home, "other.example")
    assert [(each[0], "not for mail.example.com" in each[3]) for each in findings(home, text)] == [("warning", True)]
    certificate(home, "*.example.com")
    (home / "key.pem").chmod(0o604)
    assert [(each[0], "chmod o=" in each[3]) for each in findings(home, text)] == [("warning", True)]


def test_the_authorities_file_is_read(home: Path) -> None:
    """Missing or without certificates is an error."""
    text = OPTIONS + USER + '[relay]\nca_file = "ca.pem"\n'
    assert [each[:3] for each in findings(home, text)] == [("error", 8, "relay.ca_file")]
    (home / "ca.pem").write_text("nothing")
    assert [each[:3] for each in findings(home, text)] == [("error", 8, "relay.ca_file")]
    trustme.CA().cert_pem.write_to_path(home / "ca.pem")
    assert findings(home, text) == []
