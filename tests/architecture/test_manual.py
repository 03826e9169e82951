"""What people read is true: the manual, the register of RFCs, the sample of the settings, the commands."""

import argparse
import importlib
import re
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.app.cli import COMMANDS
from appliance.config.render import sample
from appliance.config.schema import Config

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "appliance" / "doc"
TOPICS = sorted(DOC.glob("*.md"))
WIDTH = 120
NOT_YET_NARROW = {"crash", "flow", "install", "mailboxes", "queue", "relay", "sansio", "send"}
"""Pages whose lines are still too long for a terminal; take a name away when its page is wrapped."""
README_LINES = 150
RFC = re.compile(r"\bRFC (\d{3,5})\b")


def keys(kind: type[Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key of the settings with its sentence."""
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        name = f"{path}{field.name}"
        yield name, str(field.metadata.get("doc", ""))
        hint = hints[field.name]
        inner = [hint, *typing.get_args(hint)]
        for each in inner:
            if isinstance(each, type) and is_dataclass(each):
                yield from keys(each, f"{name}.")


def test_every_setting_has_its_sentence() -> None:
    """A key without a sentence, or with half of one, cannot be used by who did not write it."""
    said = dict(keys(Config))
    assert len(said) > 80
    assert [] == [name for name, doc in said.items() if not re.fullmatch(r"[A-Za-z{`].{3,}[.]", doc)]


def test_the_sample_is_that_of_the_schema() -> None:
    """``carteiro config sample`` and the committed file are one."""
    assert sample() == (ROOT / "sample.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.stem)
def test_a_topic_can_be_read_on_a_terminal(path: Path) -> None:
    """``carteiro help TOPIC`` shows the heading in its list and the text as it is."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"# \S.*", lines[0])
    wide = [f"{path.name}:{number}" for number, line in enumerate(lines, 1) if len(line) > WIDTH]
    assert wide == [] or path.stem in NOT_YET_NARROW
    assert path.stem.islower()


def test_the_manual_names_only_settings_that_exist() -> None:
    """``[table] key`` and ``table.key`` in the manual stand in the schema."""
    known = dict(keys(Config))
    tables = {name.partition(".")[0] for name in known if "." in name}
    wrong = []
    for path in [*TOPICS, ROOT / "README.md"]:
        found = re.findall(r"`\[?\[?(\w+)[\].]\]?[ .]?([a-z_0-9]+)(?: = [^`]*)?`", path.read_text(encoding="utf-8"))
        wrong += [f"{path.name}: {table}.{key}" for table, key in found if table in tables and f"{table}.{key}" not in known]
    assert [] == wrong


def test_the_manual_names_only_commands_that_exist() -> None:
    """``carteiro WORD`` in backquotes or at the beginning of a shown line is a command."""
    wrong = []
    for path in [*TOPICS, ROOT / "README.md"]:
        found = re.findall(r"(?:^    (?:\$ |sudo )?|`)carteiro ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        wrong += [f"{path.name}: carteiro {word}" for word in found if word not in COMMANDS]
    assert [] == wrong


def test_topics_that_are_named_exist() -> None:
    """``carteiro help TOPIC`` in any page leads to a page."""
    stems = {path.stem for path in TOPICS}
    named = {
        word
        for path in [*TOPICS, ROOT / "README.md"]
        for word in re.findall(r"carteiro help ([a-z0-9]+)", path.read_text(encoding="utf-8"))
    }
    assert set() == named - stems


def test_the_readme_is_short() -> None:
    """What is longer belongs into the manual."""
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= README_LINES


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_asked_for(name: str) -> None:
    """A command's module has what ``cli`` calls, and says what it does."""
    module = importlib.import_module(COMMANDS[name][0])
    if hasattr(module, "main"):
        return
    assert module.HELP
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)


def test_the_register_of_rfcs_is_whole() -> None:
    """Sorted by number, with titles; each module it names is there and cites the RFC."""
    register = tomllib.loads((DOC / "rfcs.toml").read_text(encoding="utf-8"))
    assert list(register) == sorted(register, key=int)
    for number, entry in register.items():
        assert set(entry) - {"why"} == {"title", "status", "modules"}, number
        assert "why" in entry or entry["modules"], number
        assert "why" not in entry or entry["status"] in {"partial", "no"}, number
        assert re.fullmatch(r"[A-Z].{3,}[^.]", entry["title"]), number
        assert entry["modules"] or entry["status"] in {"planned", "no"}, number
        for name in entry["modules"]:
            path = ROOT / "appliance" / name.replace(".", "/")
            source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            assert number in RFC.findall(source.read_text(encoding="utf-8")), f"{name} does not cite RFC {number}"
