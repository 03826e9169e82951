"""Large mailboxes for mail programs, filled over IMAP."""

import imaplib

__all__ = ["fill", "log_in"]

BATCH = 500


def log_in(port: int, user: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", port)
    client.login(user, f"{user}-secret")
    return client


def fill(client: imaplib.IMAP4, count: int) -> None:
    """Append messages, many in one command (RFC 3502)."""
    for first in range(0, count, BATCH):
        pieces = []
        for number in range(first, min(first + BATCH, count)):
            data = b"Message-ID: <%d@test>\r\nSubject: number %d\r\n\r\n%b\r\n" % (number, number, b"text " * (number % 50))
            pieces.append(b"() {%d+}\r\n%b" % (len(data), data))
        client.send(b"a%d APPEND INBOX %b\r\n" % (first, b" ".join(pieces)))
        while not (line := client.readline()).startswith(b"a%d " % first):
            assert line
        assert b" OK " in line, line
