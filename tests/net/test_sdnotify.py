"""What systemd is told."""

import socket
from pathlib import Path

import trio
import trio.testing

from appliance.net.sdnotify import ServiceManager


def test_without_systemd_nothing_happens() -> None:
    """No socket, no words, no watchdog."""
    manager = ServiceManager({})
    manager.ready()
    assert 0 == manager.watchdog_s


def test_words(tmp_path: Path) -> None:
    """The words of sd_notify(3), one datagram each."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        manager = ServiceManager({"NOTIFY_SOCKET": str(path)})
        manager.ready("listening")
        assert b"READY=1\nSTATUS=listening" == sock.recv(1_000)
        manager.reloading()
        assert sock.recv(1_000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        manager.stopping()
        assert b"STOPPING=1" == sock.recv(1_000)
        manager.status("3 in the queue")
        assert b"STATUS=3 in the queue" == sock.recv(1_000)
    manager.ready()  # Nobody listens any more: no error.


async def test_abstract_socket_and_watchdog(autojump_clock: trio.testing.MockClock) -> None:
    """A name with @ is abstract; the heart beats twice per interval."""
    name = f"carteiro-test-{id(autojump_clock)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        manager = ServiceManager({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, own_pid=7)
        with trio.move_on_after(25):
            await manager.heartbeat()
        sock.setblocking(False)
        assert [b"WATCHDOG=1"] * 3 == [sock.recv(100) for _ in range(3)]


async def test_a_watchdog_for_another_process_is_not_ours() -> None:
    """WATCHDOG_PID names whom systemd watches."""
    manager = ServiceManager({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, own_pid=7)
    await manager.heartbeat()
    assert 0 == manager.watchdog_s
