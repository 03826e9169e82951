"""The command line: finding the command, and exit codes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance import __version__
from appliance.app import cli

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, program: str = "") -> subprocess.CompletedProcess[str]:
    """Run carteiro as a process; ``program``: the name of the link it is called by."""
    start = [sys.executable, "-m", "appliance"]
    if program:
        start = [sys.executable, "-c", f"import sys; sys.argv[0] = {program!r}; from appliance.app.cli import main; sys.exit(main())"]
    return subprocess.run(
        [*start, *arguments], capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, and with --help, all commands are named and the code is 0."""
    assert 0 == cli.main(arguments)
    printed = capsys.readouterr().out
    assert [] == [name for name in cli.COMMANDS if name not in printed]


def test_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped command exits 64 and suggests the one that was meant."""
    assert 64 == cli.main(["sevre"])
    assert "did you mean serve?" in capsys.readouterr().err
    assert 64 == cli.main(["xyzzy"])
    assert "did you mean" not in capsys.readouterr().err


def test_usage_errors_of_commands_exit_64(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own 2 is no sysexits code."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["version", "--nonsense"])
    assert 64 == caught.value.code
    assert "usage: carteiro version" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(set(cli.COMMANDS) - {"send"}))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command can be imported and explains itself."""
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert 0 == caught.value.code
    assert f"usage: carteiro {name}" in capsys.readouterr().out


def test_version_is_said_in_three_ways(capsys: pytest.CaptureFixture[str]) -> None:
    """As a command and as the usual options."""
    for arguments in (["version"], ["--version"], ["-V"]):
        assert 0 == cli.main(arguments)
        assert f"carteiro {__version__}" in capsys.readouterr().out


def test_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no traceback."""
    import appliance.app.version

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(appliance.app.version, "run", interrupted)
    assert 130 == cli.main(["version"])


def test_closed_output_is_no_error() -> None:
    """``carteiro config show | head -1`` ends quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "config", "sample"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert b"" == errors


def test_links_are_commands() -> None:
    """Called as newaliases there is nothing to do; called as sendmail the options are sendmail's."""
    assert 0 == run(program="/usr/bin/newaliases").returncode
    assert 0 == run("-bi", program="/usr/sbin/sendmail").returncode
    assert 64 == run(program="/usr/sbin/sendmail").returncode
    assert 78 == run("-c", "/nonexistent.toml", program="/usr/bin/mailq").returncode


def test_version_imports_no_server() -> None:
    """What a command does not need it does not pay for."""
    code = "import sys; from appliance.app.cli import main; main(['version']); print(sorted({'trio', 'ssl', 'dns', 'email'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30, cwd=ROOT)
    assert "[]" == found.stdout.splitlines()[-1]
