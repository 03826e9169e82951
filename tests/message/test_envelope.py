"""ENVELOPE."""

import pytest

from appliance.message.envelope import render_envelope

ADDRESS = b'(("Bob" NIL "bob" "x.example"))'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Bob <bob@x.example>\r\nSubject: a\r\n b\r\n"
            b"To: a@b\r\nMessage-Id: <1@x>\r\nIn-Reply-To: <0@x>\r\nCc: c@d, e@f\r\nBcc: g@h\r\n\r\n",
            b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "a b" ' + ADDRESS + b" " + ADDRESS + b" " + ADDRESS + b' ((NIL NIL "a" "b"))'
            b' ((NIL NIL "c" "d")(NIL NIL "e" "f")) ((NIL NIL "g" "h")) "<0@x>" "<1@x>")',
        ),
        (b"", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (
            b"From: bob\r\nSender: <>\r\nReply-To: r@x\r\nTo: T: a@b;\r\nSubject: \xe1\r\n\r\n",
            b'(NIL {1}\r\n\xe1 ((NIL NIL "bob" "MISSING_DOMAIN")) ((NIL NIL "bob" "MISSING_DOMAIN")) ((NIL NIL "r" "x"))'
            b' ((NIL NIL "T" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL)) NIL NIL NIL NIL)',
        ),
        (
            b"To: a@b\r\nFrom: x@y\r\nTo: c@d,\r\n e@f\r\nFrom: z@y\r\n\r\n",
            b'(NIL NIL ((NIL NIL "x" "y")) ((NIL NIL "x" "y")) ((NIL NIL "x" "y")) ((NIL NIL "a" "b")(NIL NIL "c" "d")(NIL NIL "e" "f"))'
            b" NIL NIL NIL NIL)",
        ),
        (
            b'Subject: "q" \\\r\nFrom: <@a,@b:c@d>\r\nTo:\r\n\r\n',
            b'(NIL "\\"q\\" \\\\" ((NIL "@a,@b" "c" "d")) ((NIL "@a,@b" "c" "d")) ((NIL "@a,@b" "c" "d")) NIL NIL NIL NIL NIL)',
        ),
    ],
)
def test_envelopes_are_rendered(header: bytes, expected: bytes) -> None:
    """Sender and Reply-To default to From, destination fields are joined, groups have their marks, odd octets are literals."""
    assert expected == render_envelope(header)
