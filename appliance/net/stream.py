"""A trio stream over a non-blocking stdlib socket that waits first and then calls the kernel once.

Owns the socket. ``trio.SocketStream`` checkpoints twice per call and costs 15 us
per round trip; waiting for readiness and then one raw ``recv`` or ``send`` costs
8.5 us and stays fair: a busy peer yields to the others before each read.
Fails: raises OSError and trio's resource errors as they come; ``net.connection``
translates them.

Sources: trio.abc.HalfCloseableStream (the contract), measurements of this project.
"""

import socket

import trio

__all__ = ["PlainStream"]

_SENT_BEFORE_YIELD = 65_536
"""Bytes sent without waiting after which other tasks get their turn."""


class PlainStream(trio.abc.HalfCloseableStream):
    """One connected TCP or unix socket. Not for two concurrent receivers or two concurrent senders."""

    __slots__ = ("_sent", "socket")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._sent = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has arrived, ``b""`` at the end of input. A checkpoint in every case."""
        self._sent = 0
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            try:
                return self.socket.recv(max_bytes or 65_536)
            except (BlockingIOError, InterruptedError):
                continue

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. Tries first and waits only when the kernel's buffer is full.

        Cancelled in between, an unknown part was sent; the stream is of no use then but to be closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        sent = 0
        view = memoryview(data)
        total = len(view)
        while sent < total:
            try:
                sent += self.socket.send(view[sent:] if sent else view)
            except (BlockingIOError, InterruptedError):
                await trio.lowlevel.wait_writable(self.socket)
                self._sent = 0
        self._sent += total
        if self._sent >= _SENT_BEFORE_YIELD:
            self._sent = 0
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close at once; who waits on the socket gets ClosedResourceError. Harmless when repeated."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def peek(self) -> bytes | None:
        """Return the first byte that waits to be received, ``b""`` at the end of input, None when nothing is there."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self.socket)
