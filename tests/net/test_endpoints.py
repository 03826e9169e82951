"""Addresses to listen on."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.net import endpoints
from appliance.net.endpoints import Endpoint, ListenError, bind_endpoint, bind_endpoints, inherited_sockets, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1:25", Endpoint("192.0.2.1", 25)),
        ("[2001:db8::1]:587", Endpoint("2001:db8::1", 587)),
        ("[::]:0", Endpoint("::", 0)),
        ("*:25", Endpoint("0.0.0.0", 25)),
        (":25", Endpoint("0.0.0.0", 25)),
        ("localhost:1025", Endpoint("127.0.0.1", 1025)),
        ("unix:/run/lmtp", Endpoint(path="/run/lmtp")),
    ],
)
def test_parse_endpoint(text: str, endpoint: Endpoint) -> None:
    """The forms that the manual names; the text of an endpoint parses to itself."""
    assert endpoint == parse_endpoint(text)
    assert endpoint == parse_endpoint(str(endpoint))


@pytest.mark.parametrize(
    "text", ["", "25", "mail.example:25", "::1:25", "[192.0.2.1]:25", "1.2.3.4:99999", "1.2.3.4:x", "unix:run", "[::1]"]
)
def test_parse_endpoint_refuses(text: str) -> None:
    """What is no address is refused with an example of one."""
    with pytest.raises(ListenError, match="write"):
        parse_endpoint(text)


def test_a_taken_port_is_named() -> None:
    """The message says which port and how to find its owner."""
    with bind_endpoint(Endpoint("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} is used by another program; .*ss -ltnp"):
            bind_endpoint(Endpoint("127.0.0.1", port))


def test_all_or_none() -> None:
    """When one address cannot be bound those before it are closed again."""
    with bind_endpoint(Endpoint("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError):
            bind_endpoints(["127.0.0.1:0", f"127.0.0.1:{port}"])
    with pytest.raises(ListenError, match="no address of this machine"):
        bind_endpoints(["192.0.2.1:0"])


def test_both_families_side_by_side() -> None:
    """0.0.0.0 and [::] can have the same port, as IPv6 sockets take IPv6 alone."""
    try:
        first = bind_endpoint(Endpoint("::", 0))
    except ListenError:
        pytest.skip("this machine has no IPv6")
    with first, bind_endpoint(Endpoint("0.0.0.0", first.getsockname()[1])):
        pass


def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default [::] is left out; an IPv6 address asked for by name is missed."""

    def bind(endpoint: Endpoint) -> socket.socket:
        if endpoint.is_ipv6:
            raise endpoints._explain(endpoint, OSError(errno.EAFNOSUPPORT, "no")) from OSError(errno.EAFNOSUPPORT, "no")
        return bind_endpoint(endpoint)

    monkeypatch.setattr(endpoints, "bind_endpoint", bind)
    (only,) = bind_endpoints(["127.0.0.1:0", "[::]:0"])
    only.close()
    with pytest.raises(ListenError, match="no IPv6"):
        bind_endpoints(["[::]:0"])
    with pytest.raises(ListenError, match="no IPv6"):
        bind_endpoints(["127.0.0.1:0", "[2001:db8::1]:0"])


@pytest.mark.parametrize(
    ("endpoint", "number", "words"),
    [
        (Endpoint("127.0.0.1", 25), errno.EACCES, "port 25 needs a privilege"),
        (Endpoint(path="/x"), errno.EACCES, "cannot listen on unix:/x: denied"),
        (Endpoint(path="/x"), errno.EADDRINUSE, "unix:/x is used"),
        (Endpoint(path="/x/y"), errno.ENOENT, "directory of unix:/x/y does not exist"),
    ],
)
def test_other_reasons(endpoint: Endpoint, number: int, words: str) -> None:
    """Each reason has words and a fix."""
    assert words in str(endpoints._explain(endpoint, OSError(number, "denied")))


def test_unix_socket(tmp_path: Path) -> None:
    """A socket left behind is replaced, one in use and a file are not."""
    path = tmp_path / "lmtp"
    bind_endpoint(Endpoint(path=str(path))).close()
    with bind_endpoint(Endpoint(path=str(path))):
        assert 0o660 == path.stat().st_mode & 0o777
        with pytest.raises(ListenError, match="used by another program"):
            bind_endpoint(Endpoint(path=str(path)))
    other = tmp_path / "file"
    other.write_text("mine")
    with pytest.raises(ListenError):
        bind_endpoint(Endpoint(path=str(other)))
    assert "mine" == other.read_text()


def test_sockets_for_another_process_are_left_alone() -> None:
    """The variables are taken out of the environment in any case."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "smtp:imap", "HOME": "/"}
    assert {} == inherited_sockets(environment, 2)
    assert {"HOME": "/"} == environment


def test_inherited_sockets() -> None:
    """Sockets passed as descriptors 3 and up are found by name (in a process of their own: the numbers are fixed)."""
    script = """
import os, socket
from appliance.net.endpoints import inherited_sockets
found = inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "smtp:imap"}, os.getpid())
print({name: [sock.getsockname()[1] for sock in socks] for name, socks in found.items()})
import sys; sys.stdout.flush(); os._exit(0)
"""
    with bind_endpoint(Endpoint("127.0.0.1", 0)) as one, bind_endpoint(Endpoint("127.0.0.1", 0)) as two:
        program = f"import os; os.dup2({one.fileno()}, 103); os.dup2({two.fileno()}, 104); os.dup2(103, 3); os.dup2(104, 4)\n{script}"
        done = subprocess.run(
            [sys.executable, "-c", program],
            pass_fds=(one.fileno(), two.fileno()),
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert f"{ {'smtp': [one.getsockname()[1]], 'imap': [two.getsockname()[1]]} }" == done.stdout.strip()
