"""Reading the file and the secrets it points to."""

from pathlib import Path

import pytest

from appliance.config.load import load
from appliance.config.problem import ConfigError, Problem

SMARTHOST = 'domain = "example.com"\n[smarthost]\nhost = "h.example"\nusername = "u"\npassword_file = "secret"\n'


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    """Make a file with permissions."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    """Its first line, looked for beside the settings."""
    write(tmp_path / "secret", "hunter2 \nsecond line\n")
    warnings: list[Problem] = []
    config = load(write(tmp_path / "c.toml", SMARTHOST), warnings.append)
    assert config.smarthost.password == "hunter2"
    assert warnings == []


def test_a_password_that_everybody_can_read_is_told(tmp_path: Path) -> None:
    """A warning: the server still starts."""
    write(tmp_path / "secret", "hunter2\n", 0o644)
    warnings: list[Problem] = []
    load(write(tmp_path / "c.toml", SMARTHOST), warnings.append)
    (warning,) = warnings
    assert (warning.line, warning.key) == (5, "smarthost.password_file")
    assert "chmod 600" in warning.message


@pytest.mark.parametrize(
    ("secret", "words"), [(None, "cannot be read: No such file"), ("\n", "its first line is empty"), (b"\xff\n", "is not UTF-8")]
)
def test_a_password_file_that_is_no_use_is_an_error(tmp_path: Path, secret: str | bytes | None, words: str) -> None:
    """With the line of the key that names it."""
    if secret is not None:
        write(tmp_path / "secret", secret)
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path / "c.toml", SMARTHOST))
    (problem,) = caught.value.problems
    assert problem.line == 5
    assert words in problem.message


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """A directory with settings, data and keys can be moved as a whole."""
    text = 'domain = "example.com"\ndata = "data"\n[tls]\ncertificate_file = "c.pem"\nkey_file = "/etc/k.pem"\n'
    config = load(write(tmp_path / "c.toml", text))
    assert (config.data, config.tls.certificate_file, config.tls.key_file) == (
        str(tmp_path / "data"),
        str(tmp_path / "c.pem"),
        "/etc/k.pem",
    )
    assert config.relay.ca_file == ""


@pytest.mark.parametrize(
    ("content", "line", "words"), [(None, 0, "cannot be read: No such file"), (b"a = 1\nb = '\xff'\n", 2, "is not UTF-8 text")]
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None, line: int, words: str) -> None:
    """The same error type as for what is wrong inside."""
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert words in problem.message


def test_a_huge_file_is_refused_unparsed(tmp_path: Path) -> None:
    """A wrong path to a mailbox must not fill the memory."""
    path = tmp_path / "c.toml"
    with path.open("wb") as stream:
        stream.truncate(17 * 1024 * 1024)
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        load(path)
