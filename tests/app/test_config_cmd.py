"""The command config."""

import argparse
import json
import tomllib
from pathlib import Path

import pytest

from appliance.app import config_cmd
from appliance.config.render import sample


def run(*words: str) -> int:
    """Run ``carteiro config`` and return its exit code."""
    parser = argparse.ArgumentParser()
    config_cmd.add_arguments(parser)
    return config_cmd.run(parser.parse_args(words))


def test_sample_prints_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    """No file is needed."""
    assert run("sample") == 0
    assert capsys.readouterr().out == sample()


def test_show_prints_the_settings_in_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As TOML and as JSON, without secrets."""
    path = tmp_path / "c.toml"
    path.write_text('domain = "example.com"\n[[users]]\nname = "ana"\npassword = "{PLAIN}secret"\n')
    assert run("show", "-c", str(path)) == 0
    text = capsys.readouterr().out
    assert "secret" not in text
    assert run("show", "--json", "-c", str(path)) == 0
    assert json.loads(capsys.readouterr().out) == tomllib.loads(text)


def test_a_wrong_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 78, EX_CONFIG."""
    path = tmp_path / "c.toml"
    path.write_text("x = 1\n")
    assert run("show", "-c", str(path)) == 78
    assert "x: unknown setting" in capsys.readouterr().err
