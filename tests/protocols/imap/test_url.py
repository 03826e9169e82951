"""IMAP URLs of messages."""

import pytest

from appliance.model.ids import MailboxName
from appliance.protocols.imap.grammar import ParseError
from appliance.protocols.imap.url import parse_url


@pytest.mark.parametrize(
    ("raw", "mailbox", "uid", "validity", "label"),
    [
        (b"/INBOX/;UID=20", "INBOX", 20, None, b"BODY[]"),
        (b"/inbox;UIDVALIDITY=3/;UID=20", "INBOX", 20, 3, b"BODY[]"),
        (b"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", "Drafts", 20, 385759045, b"BODY[HEADER]"),
        (b"/Drafts;uidvalidity=1/;uid=20/;section=1.2.MIME", "Drafts", 20, 1, b"BODY[1.2.MIME]"),
        (b"/a/b/;UID=1/;SECTION=HEADER.FIELDS%20(Subject%20To)", "a/b", 1, None, b"BODY[HEADER.FIELDS (Subject To)]"),
        (b"/A%C3%A7%C3%A3o/;UID=1/;PARTIAL=0.1024", "Ação", 1, None, b"BODY[]<0>"),
        (b"/x/;UID=1/;SECTION=TEXT/;PARTIAL=5", "x", 1, None, b"BODY[TEXT]<5>"),
        (b"x/;UID=1", "x", 1, None, b"BODY[]"),
        (b";UID=1", "", 1, None, b"BODY[]"),
        (b"/INBOX;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9", "INBOX", 113330, 785799047, b"BODY[1.5.9]"),
    ],
)
def test_relative_urls(raw: bytes, mailbox: str, uid: int, validity: int | None, label: bytes) -> None:
    """To the server, or to nothing."""
    url = parse_url(raw)
    assert (mailbox, uid, validity, label, "", "") == (url.mailbox, url.uid, url.uid_validity, url.section.label, url.user, url.host)


def test_urls_relative_to_a_mailbox() -> None:
    """RFC 3986 section 5.2.3: the last segment gives way."""
    assert "x" == parse_url(b"x/;UID=1", MailboxName("INBOX")).mailbox
    assert "Lists/x" == parse_url(b"x/;UID=1", MailboxName("Lists/python")).mailbox
    assert "x" == parse_url(b"/x/;UID=1", MailboxName("Lists/python")).mailbox
    assert "" == parse_url(b";UID=1", MailboxName("Lists/python")).mailbox


@pytest.mark.parametrize(
    ("raw", "user", "host", "port"),
    [
        (b"imap://mail.example.org/x/;UID=1", "", "mail.example.org", None),
        (b"IMAP://ana@mail.example.org:1143/x/;UID=1", "ana", "mail.example.org", 1143),
        (b"imap://ana%40x;AUTH=*@[::1]/x/;UID=1", "ana@x", "[::1]", None),
        (b"//host/x/;UID=1", "", "host", None),
    ],
)
def test_absolute_urls(raw: bytes, user: str, host: str, port: int | None) -> None:
    """Who and where; whether that is us is not for the grammar to say."""
    url = parse_url(raw)
    assert ("x", user, host, port) == (url.mailbox, url.user, url.host, url.port)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "URL names no message"),
        (b"/INBOX", "URL names no message"),
        (b"/INBOX/;UID=0", "URL names no message"),
        (b"/INBOX/;UID=99999999999", "URL names no message"),
        (b"/INBOX/;UID=9999999999", "URL with a number above 4294967295"),
        (b"/INBOX?SUBJECT%20x", "URL names no message"),
        (b"/INBOX/;UID=1;URLAUTH=anonymous:internal:0", "URL names no message"),
        (b"http://x/INBOX/;UID=1", "URL of something else than IMAP"),
        (b"mailto:x", "URL of something else than IMAP"),
        (b"/\xc3/;UID=1", "URL with a character that must be percent-encoded"),
        (b"/%C3/;UID=1", "URL with octets that are not UTF-8"),
        (b"/%zz/;UID=1", "URL with a percent sign that encodes nothing"),
        (b"/a%0Ab/;UID=1", "URL with a control character"),
        (b"/x/;UID=1/;SECTION=1.X", "section expected in column 13, not X]"),
        (b"/x/;UID=1/;SECTION=0", "there is no part 0; HEADER names the header, parts count from 1"),
        (b"/x/;UID=1/;SECTION=]%20FLAGS", "end of command expected in column 12, not  FLAGS]"),
        (b"imap://a\nb/x/;UID=1", "URL of something else than IMAP"),
        (b"/" + b"x" * 5_000, "URL is too long"),
    ],
)
def test_what_names_no_message_is_refused(raw: bytes, text: str) -> None:
    """With the reason."""
    with pytest.raises(ParseError) as caught:
        parse_url(raw)
    assert text == str(caught.value)
