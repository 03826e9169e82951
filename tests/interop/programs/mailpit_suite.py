"""A test suite as its users write them, with pytest-mailpit as it is published; run by a pytest of its own against a catcher."""

import smtplib
from email.message import EmailMessage
from typing import Any


def send(host: Any, to: str, subject: str = "Your code", text: str = "The code is 482913: https://x.test/confirm?t=1") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <shop@a.test>", to, subject
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    message.add_attachment(b"file", maintype="text", subtype="plain", filename="f.txt")
    with smtplib.SMTP(host.host, host.port) as connection:
        connection.send_message(message)


def test_an_inbox_waits(mailpit_inbox: Any, mailpit_smtp: Any) -> None:
    """For one message, to its own address, and reads it."""
    send(mailpit_smtp, mailpit_inbox.address)
    message = mailpit_inbox.wait_for_message(subject="code", sender="shop@a.test")
    assert "482913" in message.text
    assert ["f.txt"] == [one.file_name for one in message.attachments]
    send(mailpit_smtp, mailpit_inbox.address, "Second")
    assert 2 == len(mailpit_inbox.wait_for_messages(2))


def test_the_client(mailpit: Any, mailpit_inbox: Any, mailpit_smtp: Any) -> None:
    """Everything that the client can ask."""
    send(mailpit_smtp, mailpit_inbox.address)
    message = mailpit_inbox.wait_for_message()
    assert mailpit.is_ready()
    assert mailpit.info().version
    assert ["Your code"] == mailpit.get_headers(message.id)["Subject"]
    assert b"482913" in mailpit.get_raw(message.id)
    assert b"file" == mailpit.get_attachment(message.attachments[0]).strip()
    assert mailpit.check_html(message.id) is not None
    assert 1 == len(mailpit.check_links(message.id).links)
    mailpit.set_tags([message.id], ["one", "two words"])
    assert ["one", "two words"] == list(mailpit.get_message(message.id).tags)
    mailpit.mark_read([message.id], read=False)
    assert [message.id] == [one.id for one in mailpit.search_all('tag:"two words" is:unread')]
    mailpit.delete_search("tag:one")
    assert [] == mailpit.search_all("tag:one")


def test_nothing_arrives(mailpit_inbox: Any) -> None:
    """Where nobody writes."""
    mailpit_inbox.assert_no_message(within=0)
