"""LANGUAGE, and that the Portuguese table is whole."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.model import errors
from appliance.model.errors import ApplianceError
from appliance.services.imap.languages import Catalogue
from appliance.services.imap.portuguese import PORTUGUESE

House = Any
Make = Callable[..., House]
PACKAGE = Path(errors.__file__).resolve().parents[1]
TEXTS = {
    "ok": 0,
    "no": 0,
    "Reply": 1,
    "bad": 0,
    "ParseError": 0,
    "BadUrlError": 1,
    "ValueError": 0,
    "send_bye": 0,
    "note": 0,
    "send_tagged": 1,
    "send_untagged": 1,
    "refuse_append": 1,
    "_reject": 0,
}
"""Calls whose argument of this number goes to the client."""
PHRASES = ("fail", "read_word", "read_atom", "read_string", "read_astring", "read_text", "read_nstring", "read_number")
"""Calls whose first argument is something that was expected."""


def strings(node: ast.expr) -> Iterator[str]:
    """The constants that an expression may be; what is filled in becomes ``X``."""
    match node:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(values):
            yield "".join(str(value.value) if isinstance(value, ast.Constant) else "X" for value in values)
        case ast.IfExp():
            yield from strings(node.body)
            yield from strings(node.orelse)


def texts_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        at = 0 if name in PHRASES else TEXTS.get(name)
        if at is not None and len(node.args) > at:
            yield from strings(node.args[at])


def test_every_text_is_in_the_table() -> None:
    """What handlers, grammar and the store say; a new text gets its line in ``portuguese``."""
    catalogue = Catalogue(PORTUGUESE)
    said = {
        text
        for folder in ("protocols/imap", "services/imap")
        for path in sorted((PACKAGE / folder).glob("*.py"))
        for text in texts_in(path)
    }
    said |= {kind.client_text for kind in ApplianceError.__subclasses__()} | {ApplianceError.client_text}
    assert len(said) > 100
    assert [] == sorted(text for text in said if text != "]" and catalogue(text) == text)


@pytest.mark.parametrize(
    ("english", "portuguese"),
    [
        ("Mailbox name expected in column 5, not (1 2", "Esperava-se nome de caixa na coluna 5, não (1 2"),
        ("Space expected in column 7, where the command ends", "Esperava-se espaço na coluna 7, onde o comando termina"),
        ("FETCH is not possible now: log in first", "FETCH não é possível agora: inicie a sessão primeiro"),
        ("Unknown command expected at night", "Comando desconhecido: expected at night"),
        ("There is no message 5; the mailbox has 2", "Não existe a mensagem 5; a caixa tem 2"),
        ("Something nobody translated", "Something nobody translated"),
        ("", ""),
    ],
)
def test_patterns(english: str, portuguese: str) -> None:
    """Pieces are taken over or translated themselves."""
    assert portuguese == Catalogue(PORTUGUESE)(english)


async def test_language(make_house: Make) -> None:
    """Before the login and after it, from the answer on, until UNAUTHENTICATE."""
    async with make_house().session() as client:
        assert b"LANGUAGE" in (await client.line()).split()
        ask = client.ask
        assert [b"* LANGUAGE (en pt i-default)", b"OK Languages are listed"] == await ask(b"LANGUAGE")
        assert [b"NO None of these languages is spoken here"] == await ask(b"LANGUAGE MUL fr-CA")
        assert [b"* LANGUAGE (pt)", "OK Falo português agora".encode()] == await ask(b'LANGUAGE fr "PT-BR" en')
        assert [b"NO [AUTHENTICATIONFAILED] O acesso falhou: nome ou senha errados"] == await ask(b"LOGIN ana wrong")
        await ask(b"LOGIN ana secret")
        assert ["BAD Esperava-se nome de caixa na coluna 11, não (INBOX)".encode()] == await ask(b"SELECT (INBOX)")
        assert [b"* LANGUAGE (en)", b"OK Speaking this language now"] == await ask(b"LANGUAGE default")
        assert [b"* LANGUAGE (pt)", "OK Falo português agora".encode()] == await ask(b"LANGUAGE pt")
        assert [b"OK Logged out, you may log in again"] == await ask(b"UNAUTHENTICATE")
        assert [b"* LANGUAGE (i-default)", b"OK Speaking this language now"] == await ask(b"LANGUAGE i-default")


async def test_last_words_are_translated(make_house: Make) -> None:
    """BYE at a shutdown."""
    async with make_house().session() as client:
        await client.line()
        await client.ask(b"LANGUAGE pt")
        client.connection.drain()
        assert "* BYE [UNAVAILABLE] O servidor está sendo encerrado, tente de novo em breve".encode() == await client.line()


async def test_what_comes_with_a_mailbox_is_translated(make_house: Make, plain: bytes) -> None:
    """The texts behind the response codes of SELECT, and those after a bug of ours."""
    house = make_house([plain])
    async with house.session() as client:
        await client.log_in()
        await client.ask(b"LANGUAGE pt")
        lines = [line.decode() for line in await client.ask(b"SELECT INBOX") if line.startswith(b"* OK")]
        assert ["PERMANENTFLAGS", "UNSEEN", "UIDVALIDITY", "UIDNEXT"] == [line.split()[2].strip("[]") for line in lines][:4]
        assert ["Marcas que são guardadas", "Primeira mensagem não lida", "Os UIDs são válidos", "Próximo UID previsto"] == [
            line.partition("] ")[2] for line in lines
        ][:4]

        def explode(*_: object) -> None:
            raise ZeroDivisionError

        house.store.status = explode
        await client.send(b"a STATUS INBOX (MESSAGES)\r\n")
        assert b"* BYE [SERVERBUG] Erro interno, tente de novo mais tarde" == await client.line()
