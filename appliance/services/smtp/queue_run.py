"""ETRN: a server that was away asks for the mail that we kept for it.

Owns who may ask - trusted networks and who has logged in - and for what: domains that we relay for. The mail
goes where it would go anyway, by MX or route, never to the client that asked.

Fails: never; a queue that cannot be read is 458.
Sources: RFC 1985 sections 5.1 to 5.3, Postfix flush(8).
"""

from appliance.model.domain import canonical_domain, is_domain
from appliance.model.errors import ApplianceError
from appliance.policy.relay_access import is_kept_for_another
from appliance.protocols.smtp.replies import Reply
from appliance.services.smtp.shared import Shared

__all__ = ["run_queue"]


async def run_queue(shared: Shared, node: str, *, may_ask: bool) -> Reply:
    """Start what waits for a domain and return the reply. Blocks: disk."""
    # "@" asks for subdomains as well, "#" for a queue by name (RFC 1985 section 5.3): neither is kept apart here.
    domain = canonical_domain(node.strip())
    if not is_domain(domain):
        return Reply(501, "5.5.4", "Write ETRN and the name of a domain")
    if not may_ask:
        return Reply(459, "4.7.1", f"Node {domain} not allowed: log in, or ask from a trusted network")
    if shared.run_queue is None or not is_kept_for_another(shared.directory, f"postmaster@{domain}"):
        return Reply(459, "4.7.1", f"Node {domain} not allowed: no mail is kept here for it")
    try:
        count = await shared.run_queue(domain)
    except ApplianceError as error:
        shared.mail_log.error("queue_run_failed", reason=error.detail, fix="look at the disk that holds the queue")
        return Reply(458, "4.3.0", f"Unable to queue messages for node {domain}")
    if not count:
        return Reply(251, "2.0.0", f"OK, no messages waiting for node {domain}")
    return Reply(253, "2.0.0", f"OK, {count} pending messages for node {domain} started")
