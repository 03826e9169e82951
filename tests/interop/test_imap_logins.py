"""curl logs in over IMAP without a password: with an access token, and with a certificate."""

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.interop.conftest import OFFICE
from tests.interop.running import run
from tests.interop.waiting import wait_until

pytestmark = pytest.mark.interop

Need = Callable[[str], str]
ISSUER = "https://login.office.example"
DENIED = 67
"""curl's exit code for a refused login (CURLE_LOGIN_DENIED)."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: ed25519.Ed25519PrivateKey, user: str) -> str:
    claims = {"iss": ISSUER, "aud": "mail", "exp": int(time.time()) + 600, "email": f"{user}@office.example"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "EdDSA"}, claims))
    return f"{signed}.{b64(key.sign(signed.encode()))}"


@pytest.fixture
def keyed_office(make_office: Any, tmp_path: Path) -> tuple[Any, ed25519.Ed25519PrivateKey, trustme.CA]:
    """An office that takes tokens of one issuer, and certificates of one authority."""
    key, authority = ed25519.Ed25519PrivateKey.generate(), trustme.CA()
    (tmp_path / "keys.pem").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    server = authority.issue_cert("mail.office.example", "127.0.0.1")
    server.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    for blob in server.cert_chain_pems:
        blob.write_to_path(str(tmp_path / "server.pem"), append=True)
    settings = OFFICE.replace("[imap]\n", f'[imap]\nclient_authorities_file = "{tmp_path}/authority.pem"\n')
    more = (
        f'[oauth]\nissuer = "{ISSUER}"\naudience = "mail"\nkeys_file = "{tmp_path}/keys.pem"\n'
        f'[tls]\ncertificate_file = "{tmp_path}/server.pem"\nkey_file = "{tmp_path}/server.key"\n'
    )
    return make_office(settings=settings, more=more), key, authority


def curl(office: Any, directory: Path, user: str, *options: str) -> list[str]:
    return [
        "curl", "-sS", "-v", "--cacert", str(directory / "authority.pem"), "-u", f"{user}:", *options,
        f"imaps://127.0.0.1:{office.ports['imaps']}/", "-X", 'LIST "" INBOX',
    ]  # fmt: skip


def test_oauthbearer(keyed_office: Any, tmp_path: Path, need_program: Need) -> None:
    """A token of the issuer opens the mailbox of the user that it names; one of somebody else's key opens none."""
    need_program("curl")
    office, key, _ = keyed_office
    words = ("--login-options", "AUTH=OAUTHBEARER", "--oauth2-bearer")
    for user in ("ana", "bob"):
        assert re.search(r'^\* LIST \(.*\) "/" INBOX\r?$', run(*curl(office, tmp_path, user, *words, token(key, user))), re.MULTILINE)
    # Log lines are written a moment later, together.
    wait_until(lambda: 2 == len(re.findall(r"event=auth_finished.*OAUTHBEARER", office.log)), "two logins in the log")
    forged = token(ed25519.Ed25519PrivateKey.generate(), "ana")
    found = subprocess.run(curl(office, tmp_path, "ana", *words, forged), capture_output=True, text=True, timeout=60, check=False)
    assert (DENIED, "") == (found.returncode, found.stdout), found.stderr


def test_external(keyed_office: Any, tmp_path: Path, need_program: Need) -> None:
    """The certificate names the user; without one, or for another user, there is no way in."""
    need_program("curl")
    office, _, authority = keyed_office
    own = authority.issue_cert("ana@office.example", common_name="Ana")
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "ana.pem"))
    words = ("--login-options", "AUTH=EXTERNAL")
    certificate = ("--cert", str(tmp_path / "ana.pem"))
    assert re.search(r'^\* LIST \(.*\) "/" INBOX\r?$', run(*curl(office, tmp_path, "ana", *words, *certificate)), re.MULTILINE)
    for user, more in (("ana", ()), ("bob", certificate)):
        found = subprocess.run(curl(office, tmp_path, user, *words, *more), capture_output=True, text=True, timeout=60, check=False)
        assert (DENIED, "") == (found.returncode, found.stdout), found.stderr
