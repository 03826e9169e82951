"""The fixture ``mailbox``, as a test suite of somebody's application uses it."""

import smtplib
import urllib.request

import pytest
import trio

from appliance.app.inprocess import MissingMailError, open_mailbox

pytest_plugins = ["pytester", "appliance.app.pytest_plugin"]

SEND = """
import smtplib

def send(mailbox, to, subject, body="Your code is 481516"):
    with smtplib.SMTP(mailbox.host, mailbox.port) as client:
        client.login("app", "any")
        client.sendmail("app@shop.test", [to], f"From: app@shop.test\\r\\nTo: {to}\\r\\nSubject: {subject}\\r\\n\\r\\n{body}\\r\\n")
"""
SYNC = """
import pytest
from sender import send

def test_code(mailbox):
    send(mailbox, "ana@example.test", "Welcome")
    mail = mailbox.expect(to="ana@example.test", subject="welcome")
    assert ["481516"] == mail.codes
    assert ("app", "app@shop.test", ["ana@example.test"]) == (mail.username, mail.reverse_path, mail.recipients)
    assert "4815" == mail.match("code is (4815)")
    mailbox.clear()
    assert [] == mailbox.messages()

def test_each_has_its_own(mailbox):
    mailbox.expect_none(within=0.01)

def test_missing(mailbox):
    send(mailbox, "bob@example.test", "Other")
    with pytest.raises(AssertionError, match="caught: 'Other' to bob@example.test"):
        mailbox.expect(to="ana@example.test", within=0.05)
"""
ASYNCIO = """
import asyncio
from sender import send

def test_under_asyncio(mailbox):
    async def main():
        await asyncio.to_thread(send, mailbox, "ana@example.test", "Hello")
        return await asyncio.to_thread(mailbox.expect, subject="hello")
    assert "Hello" == asyncio.run(main()).subject
"""


def test_plain_and_asyncio_tests(pytester: pytest.Pytester) -> None:
    """Each test has a catcher of its own; what did not come is told with what did."""
    pytester.makepyfile(sender=SEND, test_sync=SYNC, test_asyncio=ASYNCIO)
    result = pytester.runpytest_inprocess("-p", "appliance.app.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:trio")
    result.assert_outcomes(passed=4)


def test_the_entry_point_names_it() -> None:
    """A suite that has carteiro installed need not name the plugin."""
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {"carteiro": "appliance.app.pytest_plugin"} == project["entry-points"]["pytest11"]


async def test_in_a_trio_program() -> None:
    """In the same loop, faults included."""
    async with open_mailbox() as mailbox:

        def send() -> None:
            with smtplib.SMTP(mailbox.host, mailbox.port) as client:
                client.sendmail("a@b.test", ["c@d.test"], b"Subject: hi\r\n\r\nhttps://x.test/confirm\r\n")

        await trio.to_thread.run_sync(send)
        mail = await mailbox.expect(subject="hi")
        assert ["https://x.test/confirm"] == mail.links
        with pytest.raises(MissingMailError):
            await mailbox.expect_none(to="c@d.test")
        mailbox.faults.set_chaos(dict.fromkeys(mailbox.faults.chaos, (451, 100)))
        with pytest.raises(smtplib.SMTPSenderRefused):
            await trio.to_thread.run_sync(send)


def test_over_http(mailbox: object) -> None:
    """The interfaces answer from the first look on."""
    url = getattr(mailbox, "url")  # noqa: B009 - the fixture's type comes with the plugin
    with urllib.request.urlopen(f"{url}/api/v1/info", timeout=10) as answer:
        assert 200 == answer.status
