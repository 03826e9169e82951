"""The language in which a session speaks to people: choosing it, and finding the words.

Owns the choice from a language range and the words for what the store cannot
do, which every protocol tells. Texts are written in English where they are
said, as templates of ``str.format`` with named values; a catalogue maps each to
Portuguese. What a catalogue lacks is said in English.
Does not: touch codes, atoms or anything that a program reads.

Sources: RFC 4647 section 3.4 (lookup), RFC 5255 section 3.2 and RFC 6856 section 3.2 (LANGUAGE, LANG), RFC 5646.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["DEFAULT_LANGUAGE", "LANGUAGE_NAMES", "STORE_TEXTS_PT", "Words", "choose_language"]

DEFAULT_LANGUAGE: Final = "en"
LANGUAGE_NAMES: Final[Mapping[str, str]] = {"en": "English", "pt": "Português"}
"""The languages there are, with their own names for themselves."""

STORE_TEXTS_PT: Final[Mapping[str, str]] = {
    "Internal error": "Erro interno",
    "No such mailbox": "Esta caixa não existe",
    "Mailbox already exists": "A caixa já existe",
    "This mailbox name cannot be used": "Este nome de caixa não pode ser usado",
    "In use by another session": "Em uso por outra sessão",
    "Mailbox is over its quota: delete mail, or ask the administrator for more room": (
        "A caixa passou da sua cota: apague mensagens ou peça mais espaço ao administrador"
    ),
    "A limit of this server was reached": "Um limite deste servidor foi atingido",
    "Some messages are gone: deleted by another program": "Algumas mensagens não existem mais: outro programa as apagou",
    "This message cannot be converted": "Esta mensagem não pode ser convertida",
    "Temporarily unavailable, try again later": "Indisponível no momento, tente mais tarde",
    "The server cannot get at this mail: tell the administrator": "O servidor não consegue acessar estas mensagens: avise o administrador",
    "Insufficient storage, try again later": "Falta espaço no disco, tente mais tarde",
    "Stored data is damaged": "Os dados guardados estão danificados",
    "This mailbox name is too long, or has too many levels": "Este nome de caixa é longo demais ou tem níveis demais",
    "A mailbox name has no control characters, no * and no %": "Um nome de caixa não tem caracteres de controle, nem * nem %",
    "A mailbox cannot be moved into itself": "Uma caixa não pode ser movida para dentro de si mesma",
    "No part of a mailbox name between slashes may be empty, or begin or end with a blank": "Nenhuma parte de um nome de caixa entre barras pode ser vazia, nem começar ou terminar com espaço",
    "You have as many messages as you may: delete some, or ask the administrator for more": "O número de mensagens permitido foi atingido: apague algumas ou peça mais ao administrador",
    "You have as many mailboxes as you may: delete one, or ask the administrator for more": "O número de caixas permitido foi atingido: exclua uma ou peça mais ao administrador",
    "This part has an encoding that cannot be undone": "Esta parte tem uma codificação que não pode ser desfeita",
}
"""``ApplianceError.client_text`` of every kind."""


class Words:
    """What is said, in one language. ``portuguese``: the catalogue."""

    __slots__ = ("_portuguese", "language")

    def __init__(self, portuguese: Mapping[str, str], language: str = DEFAULT_LANGUAGE) -> None:
        self._portuguese = portuguese
        self.language = language

    def __call__(self, text: str, **values: object) -> str:
        """Return ``text`` in the session's language, with its values."""
        if self.language == "pt":
            text = self._portuguese.get(text, text)
        return text.format(**values) if values else text


def choose_language(wanted: str, preferred: str) -> str | None:
    """Return the language for one range: ``*`` is what the administrator prefers, ``pt-BR`` falls back to ``pt``; None for one we lack.

    Source:   RFC 4647 section 3.4; ``i-default`` is RFC 2277 section 4.5, which asks for English.
    """
    tag = wanted.lower()
    if tag == "*":
        return preferred
    if tag == "i-default":
        return DEFAULT_LANGUAGE
    primary = tag.partition("-")[0]
    return primary if primary in LANGUAGE_NAMES else None
