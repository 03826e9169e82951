"""Sans-IO protocol cores: bytes in, events and bytes out; no clock, no socket, no log."""
