"""What is taken from a header section for finding."""

from array import array

from appliance.message.collation import casemap
from appliance.message.digest import MAX_TEXT, digest_header

HEADER = (
    b"Subject: Re: [list] =?utf-8?q?A=C3=A7=C3=A3o?=\r\nFrom: =?utf-8?q?Jo=C3=A3o?= <joao@example.org>\r\n"
    b"To: friends: ana@example.org, bob@example.org;\r\nCc: Carla@example.org\r\nCc: Dora <d@example.org>\r\n"
    b'Date: 31 Dec 2000 16:01:33 -0800\r\nMessage-ID: <"a"@b>\r\nReferences: <x@y>\r\n <z@y>\r\n\r\n'
)


def test_a_header_section() -> None:
    """Each part of the digest, from the fields that it is made of."""
    digest = digest_header(HEADER)
    subject, sender, to, copies, blind = digest.texts
    assert casemap("Re: [list] Ação") == subject
    assert casemap("João <joao@example.org>") == sender
    assert casemap("friends: ana@example.org, bob@example.org;") == to
    assert b"CARLA@EXAMPLE.ORG\0DORA <D@EXAMPLE.ORG>" == copies
    assert blind is None
    assert (casemap("Ação"), True) == (digest.base, digest.is_reply)
    assert (b"JOAO", b"FRIENDS", b"CARLA") == (digest.from_key, digest.to_key, digest.cc_key)
    assert (casemap("João"), b"FRIENDS") == (digest.display_from, digest.display_to)
    assert digest.sent_s == 978_307_293  # 1 Jan 2001 00:01:33 UTC
    assert digest.sent_day == 730_485  # 31 Dec 2000, as it was written
    assert digest_header(b"Message-ID: <a@b>\r\n\r\n").message_id == digest.message_id
    assert len(array("q", digest.parents)) == 2


def test_nothing_at_all() -> None:
    """A message without header is found by nothing and sorts first."""
    digest = digest_header(b"")
    assert (None,) * 5 == digest.texts
    assert (b"", b"", None, None, 0, b"") == (
        digest.base,
        digest.from_key,
        digest.sent_s,
        digest.sent_day,
        digest.message_id,
        digest.parents,
    )


def test_a_display_name_that_is_empty_gives_way_to_the_address() -> None:
    """RFC 5957 section 3, its second and third case."""
    assert b"A@B" == digest_header(b'From: "" <a@b>\r\n\r\n').display_from
    assert b"A" == digest_header(b"From: a\r\n\r\n").display_from


def test_a_long_header_is_not_kept() -> None:
    """What is not whole must not answer for the message."""
    digest = digest_header(b"Subject: x\r\nTo: " + b"a@example.org, " * (MAX_TEXT // 14) + b"\r\n\r\n")
    assert (False, (None,) * 5, b"X") == (digest.is_whole, digest.texts, digest.base)
