"""One mail transaction: the envelope as it grows, from MAIL to the end of the content.

Owns alias expansion into envelope recipients, their duplicates, and what each
keeps of the address that the client gave.
Does not: decide who may be a recipient (``policy``), or hold content (``incoming``).

Sources: RFC 5321 section 3.3 and 3.9 (aliases), RFC 3461 section 5.2.7 (DSN
parameters of aliases), RFC 5233 (detail).
"""

from appliance.model.envelope import Body, Client, Envelope, EnvelopeRecipient, Notify
from appliance.model.ports import Directory
from appliance.model.routing import Deliverable, LocalTarget, RemoteTarget, Resolution
from appliance.protocols.smtp.events import MailRequested, RecipientRequested

__all__ = ["Transaction", "target_address"]


def target_address(target: LocalTarget | RemoteTarget, directory: Directory, plus_separator: str) -> str:
    """Return the address that stands for a target in the envelope; ``directory`` leads it back to the same account."""
    if isinstance(target, RemoteTarget):
        return target.address
    primary = directory.primary_address(target.account)
    if not target.detail or not plus_separator:
        return primary
    local_part, _at, domain = primary.rpartition("@")
    return f"{local_part}{plus_separator}{target.detail}@{domain}"


class Transaction:
    """The envelope under construction."""

    __slots__ = ("_recipients", "_release_at_s", "_request", "given", "reverse_path")

    def __init__(self, reverse_path: str, request: MailRequested, release_at_s: float = 0.0) -> None:
        self.reverse_path = reverse_path
        self._release_at_s = release_at_s
        self._request = request
        self._recipients: dict[str, EnvelopeRecipient] = {}
        self.given: list[str] = []
        """The addresses as the client gave them, one per accepted RCPT."""

    @property
    def body(self) -> Body:
        return self._request.body

    @property
    def smtputf8(self) -> bool:
        return self._request.smtputf8

    @property
    def recipients(self) -> tuple[EnvelopeRecipient, ...]:
        return tuple(self._recipients.values())

    def add(self, address: str, request: RecipientRequested, resolution: Resolution, directory: Directory, plus_separator: str) -> None:
        """Take a recipient that policy allowed; who is in the envelope already is not put in again."""
        self.given.append(address)
        addresses = [address]
        if isinstance(resolution, Deliverable):
            addresses = [target_address(target, directory, plus_separator) for target in resolution.targets]
        notify = request.notify
        if len(addresses) > 1 and notify is not None and Notify.SUCCESS in notify:
            # One report for the list, none for its members (RFC 3461 section 5.2.7.3, third way).
            self._put(address, EnvelopeRecipient(address, Notify.SUCCESS, request.orcpt, address))
            notify &= ~Notify.SUCCESS
        for final in addresses:
            self._put(final, EnvelopeRecipient(final, notify, request.orcpt, address if final != address else None))

    def _put(self, address: str, recipient: EnvelopeRecipient) -> None:
        # Domains never differ by case, and local parts that do are one person's typing.
        self._recipients.setdefault(address.lower(), recipient)

    def envelope(self, client: Client, *, eight_bit: bool) -> Envelope:
        """Return the finished envelope. ``eight_bit``: the content has octets above 127, announced or not."""
        request = self._request
        body = Body.EIGHT_BIT_MIME if eight_bit and request.body is Body.SEVEN_BIT else request.body
        if body is Body.BINARY_MIME:
            body = Body.EIGHT_BIT_MIME  # ``incoming`` has made lines of it.
        return Envelope(
            self.reverse_path,
            self.recipients,
            body,
            request.smtputf8,
            request.ret,
            request.envid,
            client,
            requires_tls=request.requiretls,
            release_at_s=self._release_at_s,
        )
