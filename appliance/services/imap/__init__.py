"""IMAP sessions over the mail store port."""
