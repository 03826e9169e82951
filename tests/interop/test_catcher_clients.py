"""The libraries that test suites use with Mailpit and MailHog, unchanged, against the catcher."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.running import run

pytestmark = pytest.mark.interop

PROGRAMS = Path(__file__).with_name("programs")


def test_npm_clients(dev: Any, need_program: Callable[[str], str]) -> None:
    """mailpit-api and mailhog: send, list, search, read, tag, check, delete."""
    need_program("node")
    modules = os.environ.get("CARTEIRO_NODE_MODULES", "")
    if not Path(modules, "mailpit-api").is_dir():
        assert os.environ.get("CI") != "true", "mailpit-api is not installed"
        pytest.skip("mailpit-api is not installed: packaging/test does it")
    seen = json.loads(run("node", str(PROGRAMS / "catchers.cjs"), str(dev.ports["http"]), NODE_PATH=modules))
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
