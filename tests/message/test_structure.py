"""BODYSTRUCTURE and BODY of ordinary messages, worked out by hand."""

import pytest

from appliance.message.mime import scan
from appliance.message.structure import render_body, render_body_structure

PLAIN = b'"text" "plain" ("charset" "us-ascii") NIL NIL "7bit"'
NO_EXTENSION = b" NIL NIL NIL NIL"

CASES: list[tuple[str, bytes, bytes]] = [
    ("no MIME at all", b"Subject: s\r\n\r\nhello\r\n", b"(" + PLAIN + b" 7 1 NIL NIL NIL NIL)"),
    (
        "UTF-8 text",
        b"Content-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\ny\r\n",
        b'("text" "plain" ("charset" "utf-8" "format" "flowed") NIL NIL "8bit" 6 2 NIL NIL NIL NIL)',
    ),
    (
        "html in quoted-printable",
        b'Content-Type: TEXT/HTML; charset="iso-8859-1"\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n<p>=E1\r\n',
        b'("text" "html" ("charset" "iso-8859-1") NIL NIL "quoted-printable" 8 1 NIL NIL NIL NIL)',
    ),
    (
        "alternative",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\na\r\n--b\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n\r\n<b>\r\n--b--\r\n",
        b"((" + PLAIN + b' 1 0 NIL NIL NIL NIL)("text" "html" ("charset" "utf-8") NIL NIL "7bit" 3 0 NIL NIL NIL NIL)'
        b' "alternative" ("boundary" "b") NIL NIL NIL)',
    ),
    (
        "text with attachment",
        b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\n\r\nSee it.\r\n\r\n--=_b\r\n'
        b'Content-Type: application/pdf; name="a b.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment;\r\n filename="a b.pdf"; size=3\r\n\r\nAAAA\r\n--=_b--\r\n',
        b"((" + PLAIN + b' 9 1 NIL NIL NIL NIL)("application" "pdf" ("name" "a b.pdf") NIL NIL "base64" 4 NIL'
        b' ("attachment" ("filename" "a b.pdf" "size" "3")) NIL NIL) "mixed" ("boundary" "=_b") NIL NIL NIL)',
    ),
    (
        "related picture",
        b'Content-Type: multipart/related; type="text/html"; boundary=r\r\n\r\n--r\r\nContent-Type: text/html\r\n\r\n<img>\r\n--r\r\n'
        b"Content-Type: image/png\r\nContent-ID: <i@x>\r\nContent-Description: a picture\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: inline\r\nContent-Location: p.png\r\n\r\nAA==\r\n--r--\r\n",
        b'(("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 5 0 NIL NIL NIL NIL)("image" "png" NIL "<i@x>" "a picture" "base64" 4 NIL'
        b' ("inline" NIL) NIL "p.png") "related" ("type" "text/html" "boundary" "r") NIL NIL NIL)',
    ),
    (
        "forwarded message",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
        b"From: a@b\r\nSubject: in\r\n\r\nbody\r\n\r\n--b--\r\n",
        b'(("message" "rfc822" NIL NIL NIL "7bit" 32 (NIL "in" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b"))'
        b" NIL NIL NIL NIL NIL) ("
        + PLAIN
        + b' 6 1 NIL NIL NIL NIL) 4 NIL ("attachment" NIL) NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)',
    ),
    (
        "delivery report",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=d\r\n\r\n--d\r\n\r\nSorry\r\n--d\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n--d\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        b"Subject: s\r\n\r\n--d--\r\n",
        b"((" + PLAIN + b' 5 0 NIL NIL NIL NIL)("message" "delivery-status" NIL NIL NIL "7bit" 23 NIL NIL NIL NIL)'
        b'("text" "rfc822-headers" ("charset" "us-ascii") NIL NIL "7bit" 12 1 NIL NIL NIL NIL)'
        b' "report" ("report-type" "delivery-status" "boundary" "d") NIL NIL NIL)',
    ),
    (
        "signed",
        b'Content-Type: multipart/signed; micalg=pgp-sha256;\r\n protocol="application/pgp-signature"; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s\r\n'
        b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n--s--\r\n",
        b"((" + PLAIN + b' 1 0 NIL NIL NIL NIL)("application" "pgp-signature" ("name" "signature.asc") NIL NIL "7bit" 29 NIL NIL NIL NIL)'
        b' "signed" ("micalg" "pgp-sha256" "protocol" "application/pgp-signature" "boundary" "s") NIL NIL NIL)',
    ),
    (
        "languages and digest of content",
        b"Content-Language: en, pt\r\nContent-MD5: Q2hlY2s=\r\nContent-Type: text/plain\r\n\r\nx",
        b"(" + PLAIN + b' 1 0 "Q2hlY2s=" NIL ("en" "pt") NIL)',
    ),
    (
        "name in other letters",
        b"Content-Type: application/octet-stream; name*0*=utf-8''%C3%A1; name*1=\"b.txt\"\r\n\r\nx",
        b'("application" "octet-stream" ("name*" "utf-8\'\'%C3%A1b.txt") NIL NIL "7bit" 1 NIL NIL NIL NIL)',
    ),
    (
        "raw octets in a name",
        b'Content-Type: image/png; name="\xe1"\r\n\r\nx',
        b'("image" "png" ("name" {1}\r\n\xe1) NIL NIL "7bit" 1 NIL NIL NIL NIL)',
    ),
    (
        "digest",
        b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: one\r\n\r\n1\r\n--d--\r\n",
        b'(("message" "rfc822" NIL NIL NIL "7bit" 17 (NIL "one" NIL NIL NIL NIL NIL NIL NIL NIL) (' + PLAIN + b" 1 0 NIL NIL NIL NIL) 2"
        b' NIL NIL NIL NIL) "digest" ("boundary" "d") NIL NIL NIL)',
    ),
    (
        "multipart without parts",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n",
        b"((" + PLAIN + b' 0 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)',
    ),
    (
        "type that is none",
        b"Content-Type: text\r\nContent-Disposition: ;\r\nContent-Language: ,\r\n\r\nx",
        b"(" + PLAIN + b" 1 0 NIL NIL NIL NIL)",
    ),
    (
        "international message inside",
        b"Content-Type: message/global\r\n\r\nSubject: s\r\n\r\nx",
        b'("message" "global" NIL NIL NIL "7bit" 15 (NIL "s" NIL NIL NIL NIL NIL NIL NIL NIL) (' + PLAIN + b" 1 0 NIL NIL NIL NIL) 2"
        b" NIL NIL NIL NIL)",
    ),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_body_structures_are_exact(data: bytes, expected: bytes) -> None:
    """RFC 3501 section 7.4.2 and its grammar, octet by octet."""
    assert expected == render_body_structure(scan(data))


def test_a_body_has_no_extension_data() -> None:
    """BODY is BODYSTRUCTURE without what came later."""
    data = {name: message for name, message, _ in CASES}["forwarded message"]
    assert (
        b'(("message" "rfc822" NIL NIL NIL "7bit" 32 (NIL "in" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b"))'
        b" NIL NIL NIL NIL NIL) (" + PLAIN + b' 6 1) 4) "mixed")'
    ) == render_body(scan(data))
