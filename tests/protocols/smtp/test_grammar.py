"""Paths, parameters and xtext, and their inverses."""

import pytest

from appliance.protocols.smtp.grammar import (
    GrammarError,
    decode_xtext,
    encode_xtext,
    format_path,
    needs_smtputf8,
    parse_parameters,
    parse_path,
    quote_local_part,
    unquote_local_part,
)

LITERAL = "a@[IPv6:2001:db8::1]"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("<ana@example.org>", "ana@example.org"),
        (" <ana@example.org>", "ana@example.org"),
        ("<a..b.@example.org>", "a..b.@example.org"),
        ("<ana+tag@host_name.example>", "ana+tag@host_name.example"),
        ('<"ana maria"@example.org>', '"ana maria"@example.org'),
        ('<"ana"@example.org>', "ana@example.org"),
        (r'<"a\"\\\ b>"@example.org>', r'"a\"\\ b>"@example.org'),
        ("<@one.example,@two.example:ana@example.org>", "ana@example.org"),
        ("<ana@[192.0.2.1]>", "ana@[192.0.2.1]"),
        (f"<{LITERAL}>", LITERAL),
        ("<josé@exämple.org>", "josé@exämple.org"),
        ("<PostMaster>", "PostMaster"),
        (f"<{'l' * 128}@example.org>", f"{'l' * 128}@example.org"),
    ],
)
def test_paths(text: str, path: str) -> None:
    """Every form of a forward-path comes out canonical, and canonical forms come out as they are."""
    assert (path, len(text)) == parse_path(text)
    assert (path, len(path) + 2) == parse_path(format_path(path))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "ana@example.org", "<ana@example.org", "<ana@example.org>x", "<>", "<ana>", "<@>", "<ana@>", "<@example.org>",
        "<ana@example..org>", "<ana@.org>", "<ana@example.org.>", "<ana@-a.org>", "<ana@a-.org>", "<a b@example.org>", '<"a@example.org>',
        '<""x@example.org>', "<ana@[192.0.2.300]>", "<ana@[IPv6:::1%eth0]>", "<ana@[x]>", "<ana@[192.0.2.1>", "<@a.example,ana@example.org>",
        f"<{'l' * 129}@example.org>", f"<a@{'d' * 256}>", f"<a@{'d.' * 128}org>", "<a@b c>", "<<a@b>>", "<é" + "é" * 64 + "@example.org>",
    ],
)  # fmt: skip
def test_bad_paths(text: str) -> None:
    """What is no forward-path gets a 5xx reply."""
    with pytest.raises(GrammarError) as caught:
        parse_path(text)
    assert caught.value.reply.code in {501, 553}


def test_reverse_and_unqualified_paths() -> None:
    """Only a reverse-path may be null; a bare name only where that is allowed."""
    assert ("", 2) == parse_path("<>", is_reverse=True)
    assert ("root", 6) == parse_path("<root>", is_reverse=True, unqualified=True)
    for text in ("<root>", "<postmaster>"):
        with pytest.raises(GrammarError):
            parse_path(text, is_reverse=True)


def test_local_parts() -> None:
    """Quoting is shortest, and quoting and unquoting are inverse."""
    for meaning in ("ana", "a b", 'a"b', "a\\b", "", "a@b", "josé"):
        assert meaning == unquote_local_part(quote_local_part(meaning))
    assert "ana" == quote_local_part("ana")
    assert needs_smtputf8("josé@example.org")
    assert not needs_smtputf8("jose@example.org")


def test_parameters() -> None:
    """Names are folded, values are not; doubled names and stray signs are refused."""
    assert {"SIZE": "1", "SMTPUTF8": None, "X": "a=b"} != parse_parameters("<a@b> size=1  SMTPUTF8", 5)
    assert {"SIZE": "1", "SMTPUTF8": None} == parse_parameters("<a@b> size=1  SMTPUTF8", 5)
    for text in (" A=", " =1", " A A", " A=1=2", " -A=1", " " + " ".join(f"P{n}" for n in range(21))):
        with pytest.raises(GrammarError):
            parse_parameters(text, 0)


def test_xtext() -> None:
    """xtext of RFC 3461 section 4, and UTF-8 within it."""
    assert "a+2Bb+3Dc+20d+C3+A9" == encode_xtext("a+b=c dé")
    assert "a+b=c dé" == decode_xtext("a+2Bb+3dc+20d+C3+A9")
    for text in ("a+b", "a=b", "a b", "+C3", "+0A", "+00", "é"):
        with pytest.raises(GrammarError):
            decode_xtext(text)
