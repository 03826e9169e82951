"""Inboxes of ``carteiro dev`` by SMTP, IMAP, POP3 and the interface."""

import imaplib
import json
import poplib
import smtplib
import urllib.error
import urllib.request
from typing import Any

import pytest

pytestmark = pytest.mark.interop

INBOXES = "/api/carteiro/v1/inboxes"


def ask(dev: Any, method: str, path: str, body: object = None, token: str = "master") -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{dev.ports['http']}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def send(dev: Any, recipient: str, subject: str, login: str = "") -> int:
    """Return the code that the message ends with."""
    with smtplib.SMTP("127.0.0.1", dev.ports["smtp"], timeout=20) as client:
        if login:
            client.login(login, "whatever")
        try:
            client.sendmail("a@b.test", [recipient], f"Subject: {subject}\r\n\r\nhello\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()))[0]
    return 250


def subjects(dev: Any, login: str, password: str) -> list[str]:
    """Return what IMAP shows."""
    with imaplib.IMAP4("127.0.0.1", dev.ports["imap"], timeout=20) as imap:
        imap.login(login, password)
        imap.select()
        found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    return [part[1].decode().strip().removeprefix("Subject: ") for part in found if isinstance(part, tuple)]


def test_an_inbox_for_each_test_run(make_dev: Any) -> None:
    """Two runs side by side: each with its token, password, faults and mail; one ends, the other does not notice."""
    dev = make_dev("--inbox-by", "recipient", "--http-token", "master")
    for name in ("run1", "run2"):
        assert 201 == ask(dev, "POST", INBOXES, {"name": name, "token": f"t-{name}", "password": f"p-{name}", "keep": 2})[0]
    assert (
        200
        == ask(
            dev, "PATCH", f"{INBOXES}/run2", {"faults": {"chaos": {"recipient": {"code": 452, "percent": 100}}, "without": ["SMTPUTF8"]}}
        )[0]
    )
    assert [250, 250, 452, 250] == [
        send(dev, "ana@run1", "by domain"), send(dev, "ana@app.test", "by login", "run1"), send(dev, "ana@run2", "refused"), send(dev, "eva@app.test", "by rule"),
    ]  # fmt: skip
    status, found = ask(dev, "GET", f"{INBOXES}/run1/wait?count=2&timeout=10", token="t-run1")
    assert (200, ["by login", "by domain"]) == (status, [message["subject"] for message in found["messages"]])
    for path in (f"{INBOXES}/run2/messages", "/api/carteiro/v1/messages", "/api/v1/messages"):
        assert 401 == ask(dev, "GET", path, token="t-run1")[0]
    assert ["by domain", "by login"] == subjects(dev, "run1", "p-run1")
    assert ["by rule"] == subjects(dev, "eva@app.test", "any")
    with pytest.raises(imaplib.IMAP4.error, match="wrong name or password"):
        subjects(dev, "run1", "p-run2")
    pop3 = poplib.POP3("127.0.0.1", dev.ports["pop3"], timeout=20)
    pop3.user("run1")
    pop3.pass_("p-run1")
    assert 2 == pop3.stat()[0]
    pop3.quit()
    assert 250 == send(dev, "bob@run1", "third")
    assert ["third", "by login"] == [m["subject"] for m in ask(dev, "GET", f"{INBOXES}/run1/messages", token="t-run1")[1]["messages"]]
    assert (200, {"deleted": 2}) == ask(dev, "DELETE", f"{INBOXES}/run1", token="t-run1")
    assert ["eva@app.test", "run2"] == [inbox["name"] for inbox in ask(dev, "GET", INBOXES)[1]]
    assert [] == subjects(dev, "run1", "any")
