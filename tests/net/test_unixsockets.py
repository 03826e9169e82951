"""Unix sockets under long paths."""

import errno
import socket
from pathlib import Path

import pytest

from appliance.net import unixsockets


@pytest.mark.parametrize("directory", ["short", "/".join(["deep" * 12] * 4)])
def test_paths_of_any_length(tmp_path: Path, directory: str) -> None:
    """A socket is bound and reached wherever a directory can lie, and no descriptor is left behind."""
    path = tmp_path / directory / "control.sock"
    path.parent.mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        unixsockets.bind(listening, path)
        assert path.is_socket()
        listening.listen()
        unixsockets.connect(client, path)
        assert before + 2 == len(list(Path("/proc/self/fd").iterdir()))


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    """A last name that no socket can have is told as such."""
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="name of the socket is too long") as caught:
        unixsockets.bind(sock, tmp_path / ("x" * 120))
    assert errno.ENAMETOOLONG == caught.value.errno


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """What is missing is told as for a short path."""
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
        unixsockets.connect(sock, tmp_path / ("x" * 120) / "control.sock")
