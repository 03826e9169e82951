"""The commands user and alias, from arguments to the file."""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.app import alias, user
from appliance.config.load import load
from appliance.storage.accounts import verify_password

TEXT = """\
# office
domain = "example.com"

[[users]]
name = "ana" # the boss
password = "{PLAIN}secret"

[login]
argon2_memory_kib = 64
"""


class Terminal(io.StringIO):
    """A standard input where a person sits."""

    def isatty(self) -> bool:
        return True


Run = Callable[..., int]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the file with words on standard input; return its exit code."""

    def call(command: str, *words: str, stdin: str = "") -> int:
        module = {"user": user, "alias": alias}[command]
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        monkeypatch.setattr("sys.stdin", Terminal() if stdin == "terminal" else io.StringIO(stdin))
        return int(module.run(parser.parse_args([*words, "-c", str(file)])))

    return call


def test_add_passwd_list_remove(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user's life; comments, mode and the other lines stay."""
    assert run("user", "add", "bob", "--password-stdin", "--address", "robert@example.com", stdin="long password\nrest") == 0
    assert run("user", "passwd", "ana", "--password-stdin", stdin="new password\r\n") == 0
    ana, bob = load(file).users
    assert verify_password(ana.password, "new password")
    assert verify_password(bob.password, "long password")
    assert bob.addresses == ("robert@example.com",)
    assert file.stat().st_mode & 0o777 == 0o640
    capsys.readouterr()
    assert run("user", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["addresses"] for row in rows] == [["ana@example.com"], ["robert@example.com"]]
    assert run("user", "remove", "bob") == 0
    assert file.read_text().replace(ana.password, "{PLAIN}secret") == TEXT


def test_a_generated_password_is_printed_and_works(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one time that it can be seen."""
    assert run("user", "add", "bob", "--generate", "--format", "mbox", "--quota-bytes", "5") == 0
    password = capsys.readouterr().out.rpartition("Password: ")[2].strip()
    bob = load(file).users[1]
    assert verify_password(bob.password, password)
    assert (bob.format, bob.quota_bytes) == ("mbox", 5)


def test_a_password_is_asked_twice_at_a_terminal(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that differ change nothing."""
    answers = ["first one", "other one", "same one", "same one"]
    monkeypatch.setattr("getpass.getpass", lambda _prompt: answers.pop(0))
    assert run("user", "passwd", "ana", stdin="terminal") == 64
    assert file.read_text() == TEXT
    assert run("user", "passwd", "ana", stdin="terminal") == 0
    assert verify_password(load(file).users[0].password, "same one")


@pytest.mark.parametrize(
    ("words", "stdin", "code", "told"),
    [
        (["add", "ana", "--generate"], "", 73, "already there"),
        (["add", "Bob", "--generate"], "", 65, "has capitals; write bob"),
        (["add", "bob"], "", 64, "no terminal"),
        (["add", "bob", "--password-stdin"], "\n", 64, "no password was given"),
        (["passwd", "eva", "--generate"], "", 67, "no user eva"),
        (["remove", "eva"], "", 67, "no user eva"),
        (["add", "bob", "--generate", "--address", "b@other.example"], "", 78, "not among your domains"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    run: Run, file: Path, capsys: pytest.CaptureFixture[str], words: list[str], stdin: str, code: int, told: str
) -> None:
    """Each refusal has its sentence and its code from sysexits."""
    assert run("user", *words, stdin=stdin) == code
    assert told in capsys.readouterr().err
    assert file.read_text() == TEXT


def test_a_short_password_is_taken_with_a_warning(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The office decides."""
    assert run("user", "passwd", "ana", "--password-stdin", stdin="short\n") == 0
    assert "soon guessed" in capsys.readouterr().err


def test_passwd_puts_a_wrong_password_line_right(run: Run, file: Path) -> None:
    """A file that does not decode can be repaired by the very command that its message names."""
    file.write_text(TEXT.replace("{PLAIN}secret", "secret"))
    assert run("user", "list") == 78
    assert run("user", "passwd", "ana", "--password-stdin", stdin="new password\n") == 0
    assert run("user", "list") == 0


def test_a_user_that_an_alias_needs_is_not_removed(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result would not be valid, and says where."""
    run("user", "add", "bob", "--generate")
    run("alias", "add", "sales", "bob")
    before = file.read_text()
    assert run("user", "remove", "bob") == 78
    assert "aliases.sales[1]: bob is neither a user nor an alias here" in capsys.readouterr().err
    assert file.read_text() == before


def test_aliases_come_and_go(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Add, list, remove a target, remove the rest."""
    assert run("alias", "add", "sales", "ana", "x@elsewhere.example") == 0
    assert run("alias", "add", "info@example.com", "sales") == 0
    assert load(file).aliases == {"sales": ("ana", "x@elsewhere.example"), "info@example.com": ("sales",)}
    capsys.readouterr()
    assert run("alias", "list") == 0
    assert run("alias", "list", "--json") == 0
    assert "sales             ana, x@elsewhere.example" in capsys.readouterr().out
    assert run("alias", "remove", "sales", "ana") == 0
    assert load(file).aliases["sales"] == ("x@elsewhere.example",)
    assert run("alias", "remove", "info@example.com") == 0
    assert run("alias", "remove", "nothing") == 67
    assert run("alias", "add", "sales", "x@elsewhere.example") == 73
    assert run("alias", "add", "y", "nobody") == 78


def test_without_a_file_every_command_says_so(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback."""
    file.unlink()
    for words in (["list"], ["remove", "ana"], ["add", "bob", "--generate"]):
        assert run("user", *words) == 78
    assert run("alias", "list") == 78
    assert run("alias", "add", "a", "ana") == 78
    assert capsys.readouterr().err.count("No such file") == 5
    file.write_text("domain = ")
    assert run("user", "remove", "ana") == 78
