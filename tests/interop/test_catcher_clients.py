"""The libraries that test suites use with Mailpit and MailHog, unchanged, against the catcher."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.running import run

pytestmark = pytest.mark.interop

PROGRAMS = Path(__file__).with_name("programs")


def missing(what: str) -> None:
    """Skip the test; in CI, where all of them are there, fail it."""
    assert os.environ.get("CI") != "true", f"{what} is not installed"
    pytest.skip(f"{what} is not installed: packaging/test does it")


def seen_by(program: str, dev: Any, package: str) -> Any:
    """Return what a program for Node.js saw of the catcher."""
    modules = os.environ.get("CARTEIRO_NODE_MODULES", "")
    if not Path(modules, package).is_dir():
        missing(package)
    return json.loads(run("node", str(PROGRAMS / program), str(dev.ports["http"]), patience_s=110, NODE_PATH=modules))


def test_npm_clients(dev: Any, need_program: Callable[[str], str]) -> None:
    """mailpit-api and mailhog: send, list, search, read, tag, check, delete."""
    need_program("node")
    seen = seen_by("catchers.cjs", dev, "mailpit-api")
    assert {
        "version": "string",
        "relay": False,
        "subject": "from mailpit-api",
        "attachment": "f.txt",
        "headers": ["from mailpit-api"],
        "source": True,
        "part": True,
        "total": 1,
        "found": 1,
        "tags": ["npm"],
        "retagged": ["three"],
        "html": "<p>Hi</p>",
        "text": "Hi https://x.test/",
        "links": 1,
        "check": "number",
        "chaos": 5,
        "unread": 1,
    } == seen["mailpit"]
    assert {
        "total": 1,
        "subject": "from mailpit-api",
        "latest": "from mailpit-api",
        "containing": 1,
        "left": 0,
        "none": 0,
    } == seen["mailhog"]


def test_cypress_commands(dev: Any, need_program: Callable[[str], str]) -> None:
    """Every command of cypress-mailpit but the one for SpamAssassin, and of cypress-mailhog."""
    need_program("node")
    seen = seen_by("cypress.cjs", dev, "cypress-mailpit")
    assert {
        "total": 1,
        "subject": "from cypress",
        "from": "from@example.com",
        "to": ["jane@example.com"],
        "attachments": ["f.txt"],
        "html": "<p>hello from mailpit</p>",
        "text": "hello from mailpit",
        "found": 1,
        "nobody": 0,
        "bySearch": 1,
        "unread": 1,
        "stillUnread": 0,
        "left": 0,
    } == seen["mailpit"]
    assert {
        "count": 1,
        "subject": "for mailhog",
        "sender": "from@example.com",
        "recipients": ["jane@example.com", "cc@example.com", "bcc@example.com"],
        "attachments": ["f.txt"],
        "bySubject": 1,
        "bySender": 1,
        "byRecipient": 1,
        "filtered": 0,
        "searched": 1,
        "jim": False,
        "jimOn": True,
        "left": 0,
    } == seen["mailhog"]


def test_pytest_mailpit(dev: Any, tmp_path: Path) -> None:
    """A suite with its fixtures and its client, in a pytest of its own."""
    if importlib.util.find_spec("pytest_mailpit") is None:
        missing("pytest-mailpit")
    suite = shutil.copy(PROGRAMS / "mailpit_suite.py", tmp_path / "test_suite.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    told = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_mailpit.plugin", "--rootdir", str(tmp_path),
        "--mailpit-url", f"http://127.0.0.1:{dev.ports['http']}/", str(suite),
        patience_s=110, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", MAILPIT_WAIT_TIMEOUT="30", MAILPIT_SMTP=f"127.0.0.1:{dev.ports['smtp']}", NO_PROXY="127.0.0.1", PYTEST_ADDOPTS="",
    )  # fmt: skip
    assert "3 passed" in told, told
