"""POP3 sessions over the mail store port."""
