"""The campaign's next hop: what it took from a sender that is dead counts as taken before its death."""

import socket
import threading
import time

from tests.crash.campaign.message import make_message
from tests.crash.campaign.sink import Sink


def test_what_a_dead_sender_had_sent_was_taken_before_its_death() -> None:
    """On a busy machine the next hop reads it late; a second copy after the restart would seem to have come without a kill."""
    sink = Sink(1, moods=0.0)
    try:
        talk = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + make_message("token1", 2_000) + b"\r\n.\r\n"
        sender = socket.create_connection(("127.0.0.1", sink.port))
        with sink._lock:  # the sink's thread is late
            sender.sendall(talk)
            sender.shutdown(socket.SHUT_WR)
            assert [] == sink.taken
            reading = threading.Thread(target=sink.read_out)
            reading.start()
            reading.join(0.1)
            assert reading.is_alive()
        reading.join()
        died_at_s = time.monotonic()
        sender.close()
        assert [("token1", "c@d", True)] == [(one.token, one.recipient, one.at_s <= died_at_s) for one in sink.taken]
    finally:
        sink.close()
