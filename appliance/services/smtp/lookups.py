"""VRFY and EXPN: what is told of addresses, and to whom.

Who has logged in may ask; everybody else learns nothing unless ``smtp.verify_command`` lets VRFY answer, for an open VRFY
is a list of addresses to guess through.

Sources:  RFC 5321 sections 3.5 (what is answered) and 7.3 (to whom), RFC 6531 section 3.7.4.2 (SMTPUTF8 behind the argument).
"""

from collections.abc import Sequence

from appliance.model.ports import Directory
from appliance.model.routing import NotLocal, Refused, RemoteTarget
from appliance.protocols.smtp.replies import CANNOT_VERIFY, NO_EXPANSION, Reply

__all__ = ["expand", "verify"]


def verify(directory: Directory, argument: str, *, may_know: bool) -> Reply:
    """Answer VRFY: whether an address is one of ours."""
    if not may_know:
        return CANNOT_VERIFY
    address, takes_utf8 = _parse(directory, argument)
    resolution = directory.resolve(address)
    if isinstance(resolution, Refused):
        return Reply(resolution.code, resolution.status, resolution.reason)
    return CANNOT_VERIFY if isinstance(resolution, NotLocal) else _tell([address], takes_utf8=takes_utf8)


def expand(directory: Directory, argument: str, *, may_know: bool) -> Reply:
    """Answer EXPN: the addresses that an alias or list leads to in the end, a line each; for a user the user's own."""
    if not may_know:
        return NO_EXPANSION
    address, takes_utf8 = _parse(directory, argument)
    resolution = directory.resolve(address)
    if isinstance(resolution, Refused):
        return Reply(resolution.code, resolution.status, resolution.reason)
    if isinstance(resolution, NotLocal):
        return Reply(550, "5.1.2", "That address is not at this server; ask the one that has it")
    targets = [
        target.address if isinstance(target, RemoteTarget) else directory.primary_address(target.account) for target in resolution.targets
    ]
    return _tell(targets, takes_utf8=takes_utf8)


def _parse(directory: Directory, argument: str) -> tuple[str, bool]:
    """Return the address asked for, and whether the client takes answers in UTF-8."""
    text, _, parameter = argument.strip().rpartition(" ")
    takes_utf8 = bool(text) and parameter.upper() == "SMTPUTF8"
    address = text.strip() if takes_utf8 else argument.strip()
    return directory.qualify(address.removeprefix("<").removesuffix(">")), takes_utf8


def _tell(addresses: Sequence[str], *, takes_utf8: bool) -> Reply:
    if not takes_utf8 and not all(address.isascii() for address in addresses):
        return Reply(553, "5.6.7", "The answer has addresses in UTF-8; ask again with SMTPUTF8 at the end")
    return Reply(250, "2.1.5", *(f"<{address}>" for address in addresses))
