"""The self-test's name server: answers MX and A for one name over UDP, and checks what the resolver makes of it.

A frozen program in which dnspython does not find its metadata resolves nothing;
this is where that shows.
"""

import trio

from appliance.net.resolver import Resolver

__all__ = ["check_name_server"]

DOMAIN = "selftest.example"
HOST = "mx.selftest.example"
ADDRESS = "192.0.2.25"
LOOKUP_S = 5.0


def _answer(wire: bytes) -> bytes:
    import dns.message  # loaded with the resolver, not before
    import dns.rdatatype
    import dns.rrset

    query = dns.message.from_wire(wire)
    question = query.question[0]
    reply = dns.message.make_response(query, recursion_available=True)
    texts = {("MX", f"{DOMAIN}."): f"10 {HOST}.", ("A", f"{HOST}."): ADDRESS}
    kind, name = dns.rdatatype.to_text(question.rdtype), question.name.to_text().lower()
    if text := texts.get((kind, name)):
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, text))
    return reply.to_wire()


async def _serve(sock: trio.socket.SocketType) -> None:
    while True:
        wire, peer = await sock.recvfrom(4096)
        await sock.sendto(_answer(wire), peer)


async def check_name_server() -> None:
    """Look a mail host and its address up. Raises what the resolver raises, or ValueError for a wrong answer."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))
        resolver = Resolver(["{}:{}".format(*sock.getsockname())], timeout_s=LOOKUP_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, sock)
            hosts = (await resolver.mail_hosts(DOMAIN)).hosts
            addresses = await resolver.addresses(HOST)
            nursery.cancel_scope.cancel()
    if [host.host for host in hosts] != [HOST] or addresses != (ADDRESS,):
        raise ValueError(f"{DOMAIN} resolved to {hosts} and {addresses}")
