"""Logging in to the catcher by every mechanism, as the programs do that people have."""

import imaplib
import json
import poplib
import smtplib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.running import run

pytestmark = pytest.mark.interop

Need = Callable[[str], str]
MESSAGE = "From: app@example.com\r\nTo: anybody@example.org\r\nSubject: login\r\n\r\nHello\r\n"


def latest_user(dev: Any) -> str:
    """Return the name that the newest message's sender logged in with."""
    with urllib.request.urlopen(f"http://127.0.0.1:{dev.ports['http']}/api/carteiro/v1/messages?limit=1", timeout=20) as answer:
        found: str = json.load(answer)["messages"][0]["envelope"]["username"]
    return found


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_swaks(mechanism: str, shared_dev: Any, need_program: Need) -> None:
    """Swaks logs in with a name and a password that nobody knows."""
    need_program("swaks")
    user = f"swaks-{mechanism.lower()}"
    run(
        "swaks", "--server", f"127.0.0.1:{shared_dev.ports['smtp']}", "--from", "app@example.com", "--to", "anybody@example.org",
        "--auth", mechanism, "--auth-user", user, "--auth-password", "whatever",
    )  # fmt: skip
    assert user == latest_user(shared_dev)


def test_smtplib_prefers_cram_md5(shared_dev: Any) -> None:
    """Python's library takes CRAM-MD5 where it is offered, and each of the others when told to."""
    with smtplib.SMTP("127.0.0.1", shared_dev.ports["smtp"], timeout=20) as client:
        client.login("python@example.com", "whatever")
        client.sendmail("app@example.com", ["anybody@example.org"], MESSAGE)
    assert "python@example.com" == latest_user(shared_dev)
    with smtplib.SMTP("127.0.0.1", shared_dev.ports["smtp"], timeout=20) as client:
        client.ehlo()
        client.auth("XOAUTH2", lambda challenge=None: "user=token@example.com\x01auth=Bearer ya29.abc\x01\x01" if challenge is None else "")
        client.sendmail("app@example.com", ["anybody@example.org"], MESSAGE)
    assert "token@example.com" == latest_user(shared_dev)


CURL = {
    "plain": ["--login-options", "AUTH=PLAIN", "-u", "{user}:any"],
    "login": ["--login-options", "AUTH=LOGIN", "-u", "{user}:any"],
    "cram": ["--login-options", "AUTH=CRAM-MD5", "-u", "{user}:any"],
    "xoauth2": ["--login-options", "AUTH=XOAUTH2", "-u", "{user}:", "--oauth2-bearer", "ya29.abc"],
    "oauthbearer": ["--login-options", "AUTH=OAUTHBEARER", "-u", "{user}:", "--oauth2-bearer", "ya29.abc"],
    "external": ["--login-options", "AUTH=EXTERNAL", "-u", "{user}:"],
}


@pytest.mark.parametrize("name", CURL)
def test_curl_sends_and_reads(name: str, shared_dev: Any, tmp_path: Path, need_program: Need) -> None:
    """One mechanism after the other: in by SMTP, out by IMAP and POP3."""
    need_program("curl")
    (tmp_path / "message").write_bytes(MESSAGE.encode())
    words = ["curl", "-sS", *(word.format(user=f"curl-{name}") for word in CURL[name])]
    run(
        *words,
        f"smtp://127.0.0.1:{shared_dev.ports['smtp']}",
        "--mail-from",
        "app@example.com",
        "--mail-rcpt",
        "anybody@example.org",
        "-T",
        str(tmp_path / "message"),
    )
    assert f"curl-{name}" == latest_user(shared_dev)
    assert "\nTo: anybody@example.org" in run(*words, f"imap://127.0.0.1:{shared_dev.ports['imap']}/INBOX;MAILINDEX=1")
    assert "\nTo: anybody@example.org" in run(*words, f"pop3://127.0.0.1:{shared_dev.ports['pop3']}/1")


def test_imaplib_and_poplib(shared_dev: Any) -> None:
    """Python's libraries for who reads: CRAM-MD5, and what the servers say they take."""
    expected = {"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS"}
    with imaplib.IMAP4("127.0.0.1", shared_dev.ports["imap"], timeout=20) as imap:
        assert expected == {name.removeprefix("AUTH=") for name in imap.capabilities if name.startswith("AUTH=")}
        assert "OK" == imap.login_cram_md5("anybody", "whatever")[0]
    pop3 = poplib.POP3("127.0.0.1", shared_dev.ports["pop3"], timeout=20)
    assert expected == set(pop3.capa()["SASL"])
    pop3.quit()
