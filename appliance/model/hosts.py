"""Which machine a peer's address stands for: the one answer of all protocols.

Owns what "this machine" means: loopback addresses, also those of IPv4 as a dual-stack socket gives them
(``::ffff:127.0.0.1``), and peers of Unix sockets, which have no address and are called ``unix``.

Fails: never; what is no address is not this machine.
Sources: RFC 4291 section 2.5.3 (loopback), section 2.5.5.2 (IPv4-mapped addresses).
"""

import ipaddress

__all__ = ["UNIX", "is_this_machine", "plain_address"]

UNIX = "unix"
"""What stands for the address of a Unix socket's peer."""


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address without its scope, IPv4 where it stands for one. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_this_machine(host: str) -> bool:
    """Tell whether a peer is a program on this machine, so that nobody listens on the wire."""
    if host == UNIX:
        return True
    try:
        return plain_address(host).is_loopback
    except ValueError:
        return False
