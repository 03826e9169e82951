"""Sessions that take mail in: MX, submission, LMTP."""
