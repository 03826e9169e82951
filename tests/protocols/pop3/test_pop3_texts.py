"""Every sentence of POP3 exists in Portuguese, with the same values in it, and none is left over."""

import ast
import string
from pathlib import Path

from appliance.protocols import pop3
from appliance.protocols.language import STORE_TEXTS_PT
from appliance.protocols.pop3.texts import PORTUGUESE
from appliance.services import pop3 as service

SAYING = {"ok_line", "error_line", "_reject", "login_failed", "login_succeeded", "words", "_words", "BadCommandError"}


def said() -> set[str]:
    """Return the literal texts that the sources hand to what speaks to people."""
    found = set()
    for package in (pop3, service):
        assert package.__file__ is not None
        for path in Path(package.__file__).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and (getattr(node.func, "attr", "") or getattr(node.func, "id", "")) in SAYING and node.args:
                    first = node.args[0]
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        found.add(first.value)
    return found


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_has_portuguese_words() -> None:
    """Whoever adds a sentence adds it here too."""
    before_any_choice = {"Too many connections, try again later", "Server is shutting down, try again soon"}
    assert set() == said() - PORTUGUESE.keys() - before_any_choice - {""}


def test_no_text_is_left_over() -> None:
    """What is translated is said somewhere; those that reach the wire by another way are named."""
    other_ways = {
        "You are logged in already",
        "USER comes first",
        "Log in first",
        "Logged in",
        "Passwords are taken over TLS only: use STARTTLS (STLS) here, or SSL/TLS on port 995",
    }
    assert set() == PORTUGUESE.keys() - said() - STORE_TEXTS_PT.keys() - other_ways


def test_values_agree() -> None:
    """Both languages ask for the same values."""
    assert {text: names(text) for text in PORTUGUESE} == {text: names(translated) for text, translated in PORTUGUESE.items()}
