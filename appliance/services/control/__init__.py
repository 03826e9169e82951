"""The local socket through which commands speak to the running server."""
