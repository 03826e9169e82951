"""What is told to people and machines: the mail log, counters, recent events."""
