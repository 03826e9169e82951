"""Modified UTF-7."""

import pytest

from appliance.protocols.imap.utf7 import decode_mailbox_name, encode_mailbox_name


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("INBOX", b"INBOX"),
        ("Lixeira & Spam", b"Lixeira &- Spam"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("Rascunhos é", b"Rascunhos &AOk-"),
        ("😀", b"&2D3eAA-"),
    ],
)
def test_names_have_one_wire_form(name: str, raw: bytes) -> None:
    """The example of RFC 3501 section 5.1.3 and others go both ways."""
    assert raw == encode_mailbox_name(name)
    assert name == decode_mailbox_name(raw)


@pytest.mark.parametrize("raw", [b"a&b", b"&AGE-", b"&-&", b"&U,BT-x&", b"\xe9", b"&====-", b"&AOk", b"a\x7fb"])
def test_second_spellings_and_broken_ones_are_refused(raw: bytes) -> None:
    """Only what the encoder writes is read."""
    with pytest.raises(ValueError, match="modified UTF-7"):
        decode_mailbox_name(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"&U,BTFw-&ZeVnLIqe-",  # a null shift: both runs are one
        b"&AOkAYQ-",  # an ASCII letter inside base64
        b"&AOkB-",  # bits left over that are not zero
        b"&2D0-",  # half of a surrogate pair
        b"&3gDYPQ-",  # the halves in the wrong order
        b"&ACY-",  # the ampersand itself
        b"&AOk=-",  # padding
        b"&AOk",  # not shifted back
        b"&AA/-",  # the slash of ordinary base64
    ],
)
def test_corner_cases(raw: bytes) -> None:
    """RFC 3501 section 5.1.3 names each."""
    with pytest.raises(ValueError, match="modified UTF-7"):
        decode_mailbox_name(raw)
