"""IMAP4rev1: RFC 3501 and the extensions it advertises.

``server.ImapServer`` is the core; it speaks in ``events`` and ``commands`` and
is answered with ``responses``. Read ``state`` first.
"""
