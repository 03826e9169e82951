"""Synchronous, crash-safe files: the spool, Maildir, mbox, indexes, accounts."""
