"""PLAIN and LOGIN, both sides: the password itself crosses, so only under TLS.

Sources: RFC 4616 section 2 (PLAIN), draft-murchison-sasl-login (LOGIN, obsolete
and still what old Outlook and many devices speak).
"""

from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, Step

__all__ = ["LoginClient", "LoginServer", "PlainClient", "PlainServer"]

MAX_OCTETS = 1_024
"""Of a name or a password; RFC 4616 section 2 asks for 255 at least."""


def _check(authzid: bytes, login: bytes, password: bytes) -> Step:
    if not login or not password or max(len(authzid), len(login), len(password)) > MAX_OCTETS:
        return Failed("empty or over-long name or password")
    try:
        return CheckPassword(saslprep(authzid.decode()), saslprep(login.decode()), saslprep(password.decode()))
    except (UnicodeDecodeError, PrepError):
        return Failed("name or password holds prohibited characters")


class PlainServer:
    """One message: authzid NUL login NUL password."""

    __slots__ = ()
    name = "PLAIN"

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Failed("not three parts")
        return _check(parts[0], parts[1], parts[2])


class LoginServer:
    """Two prompts. Clients do not read them; these texts are the ones that all of them know."""

    __slots__ = ("_asked", "_login")
    name = "LOGIN"

    def __init__(self) -> None:
        self._asked = False
        self._login: bytes | None = None

    def step(self, response: bytes | None) -> Step:
        if response is None or (response == b"" and not self._asked and self._login is None):
            self._asked = True
            return Challenge(b"Username:")
        if self._login is None:
            self._login = response
            return Challenge(b"Password:")
        return self._conclude(self._login, response)

    def _conclude(self, login: bytes, password: bytes) -> Step:
        return _check(b"", login, password)


class PlainClient:
    __slots__ = ("_login", "_password")
    name = "PLAIN"
    is_complete = True

    def __init__(self, login: str, password: str) -> None:
        self._login = login
        self._password = password

    def initial_response(self) -> bytes | None:
        return b"\0" + self._login.encode() + b"\0" + self._password.encode()

    def respond(self, challenge: bytes) -> bytes | None:
        """An empty challenge asks for what was not taken as initial response."""
        return None if challenge else self.initial_response()


class LoginClient:
    __slots__ = ("_answers",)
    name = "LOGIN"
    is_complete = True

    def __init__(self, login: str, password: str) -> None:
        self._answers = [password.encode(), login.encode()]

    def initial_response(self) -> bytes | None:
        """None: servers differ in whether they take one."""
        return None

    def respond(self, challenge: bytes) -> bytes | None:
        """First the name, then the password, whatever the prompts say."""
        return self._answers.pop() if self._answers else None
