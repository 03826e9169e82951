"""Byte-stuffing, TOP, surrogates and the maildrop's numbers."""

from array import array

from appliance.protocols.pop3.maildrop import Maildrop
from appliance.protocols.pop3.replies import error_line, ok_line, stuff
from appliance.protocols.pop3.surrogate import downgrade
from appliance.protocols.pop3.top import TopCutter

MESSAGE = b"A: 1\r\nB: 2\r\n\r\none\r\ntwo\r\nthree\r\n"


def test_reply_lines_hold_one_line() -> None:
    """Text from elsewhere can neither break the line nor make it too long."""
    assert b"+OK\r\n" == ok_line()
    assert b"-ERR [IN-USE] a  b\xc3\xa9\r\n" == error_line("a\r\nbé", "IN-USE")
    assert b"-ERR a" + b"\xc3\xa9" * 199 + b"\r\n" == error_line("a" + "é" * 300)
    assert len(ok_line("x" * 1_000)) < 512


def test_stuffing() -> None:
    """Lines that begin with a dot get another one, the last line gets its end."""
    assert b".\r\n" == stuff(b"")
    assert b"..\r\n.\r\n" == stuff(b".")
    assert b"..a\r\n...\r\nb.\r\n.\r\n" == stuff(b".a\r\n..\r\nb.\r\n")


def test_top_cuts_after_lines() -> None:
    """Header and blank line always, then at most the lines asked for."""
    assert [MESSAGE[: MESSAGE.index(b"one")]] == [TopCutter(0).feed(MESSAGE)]
    assert MESSAGE[: MESSAGE.index(b"three")] == TopCutter(2).feed(MESSAGE)
    assert MESSAGE == TopCutter(3).feed(MESSAGE)
    assert MESSAGE == TopCutter(9_999_999_999).feed(MESSAGE)


def test_top_of_odd_messages() -> None:
    """No blank line: all is header. A blank line first: no header."""
    assert b"A: 1\r\nB" == TopCutter(0).feed(b"A: 1\r\nB")
    assert b"\r\n" == TopCutter(0).feed(b"\r\nbody\r\n")


def test_surrogate_encodes_utf8_headers_only() -> None:
    """Names and subjects become encoded words; bodies and other charsets stay."""
    plain = b"Subject: x\r\n\r\ncaf\xc3\xa9\r\n"
    assert plain is downgrade(plain)
    latin = b"Subject: caf\xe9\r\n\r\nx\r\n"
    assert latin is downgrade(latin)
    message = 'From: "José da Silva" <jose@exemplo.example>\r\nSubject: olá João Bem\r\n\r\ncafé\r\n'.encode()
    expected = (
        b"From: =?utf-8?q?Jos=C3=A9_da_Silva?= <jose@exemplo.example>\r\nSubject: =?utf-8?q?ol=C3=A1_Jo=C3=A3o?= Bem\r\n\r\ncaf\xc3\xa9\r\n"
    )
    assert expected == downgrade(message)


def test_surrogate_shows_the_same_text() -> None:
    """A mail program reads the surrogate as the original (RFC 2047 section 6.2 drops blanks between encoded words)."""
    from email import message_from_bytes, policy

    message = "Subject: Reunião às três — não esqueça\r\n\r\n".encode()
    shown = message_from_bytes(downgrade(message), policy=policy.default)["Subject"]
    assert "Reunião às três — não esqueça" == shown


def drop(count: int = 3) -> Maildrop:
    return Maildrop(0x65, array("I", range(10, 10 + count)))


def test_listings() -> None:
    """Numbers stay, marked messages are left out, sizes follow."""
    maildrop = drop()
    maildrop.delete(2)
    maildrop.set_sizes(array("Q", [100, 200, 300]))
    assert (2, 400) == maildrop.statistics()
    assert b"1 100\r\n3 300\r\n" == b"".join(maildrop.list_sizes())
    assert b"1 000000650000000a\r\n3 000000650000000c\r\n" == b"".join(maildrop.list_unique_ids())
    assert b"000000650000000b" == maildrop.unique_id(2)
    assert [11] == maildrop.deleted_uids()
    assert not maildrop.has(2)
    maildrop.reset()
    assert (3, 600) == maildrop.statistics()
    assert () == maildrop.deleted_uids()
    assert [False, True, True, False] == [maildrop.has(number) for number in (0, 1, 3, 4)]


def test_delete_after_sizes_counts_down() -> None:
    """STAT follows each mark."""
    maildrop = drop()
    maildrop.set_sizes(array("Q", [1, 2, 4]))
    maildrop.delete(3)
    assert (2, 3) == maildrop.statistics()


def test_large_listing_comes_in_pieces() -> None:
    """No piece of a listing grows with the maildrop."""
    maildrop = drop(10_000)
    pieces = list(maildrop.list_unique_ids())
    assert 3 == len(pieces)
    assert 10_000 == b"".join(pieces).count(b"\r\n")
