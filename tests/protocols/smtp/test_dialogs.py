"""Every SMTP dialogue, over the bare core, in one piece and cut small."""

from collections.abc import Callable
from pathlib import Path

import pytest

DIALOGS = sorted((Path(__file__).parents[2] / "dialogs" / "smtp").glob("*.dialog"))


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("cut", [1, 7, 65_536])
def test_dialog(path: Path, cut: int, play_dialog: Callable[[str, int], None]) -> None:
    """The server says exactly what the file says, however the client's bytes are cut."""
    play_dialog(path.read_text(encoding="utf-8"), cut)


def test_there_are_dialogs() -> None:
    """The folder is found."""
    assert len(DIALOGS) >= 25
