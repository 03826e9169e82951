"""The one exception of the SMTP cores: this program used them wrongly. What a peer does never raises."""

__all__ = ["LocalProtocolError"]


class LocalProtocolError(Exception):
    """A method was called in a state that does not allow it; a bug here, not in the peer."""
