"""What a message says and what was said beside it, and how to say it again.

Owns the differences between envelope and header that a developer should see, and
the commands that send a message as it was sent.
"""

import shlex
from collections.abc import Mapping

from appliance.model.caught import CaughtSummary

__all__ = ["differences", "replay_commands"]


def differences(summary: CaughtSummary, words: Mapping[str, str]) -> list[str]:
    """Return each difference in a person's words."""
    envelope, found = summary.envelope, []
    sender = summary.sender.address.lower() if summary.sender else ""
    if envelope.reverse_path == "":
        found.append(words["null_sender"])
    elif sender and sender != envelope.reverse_path.lower():
        found.append(f"{words['path_differs']} <{envelope.reverse_path}> / {sender}")
    found += [f"<{address}> — {words['hidden']}" for address in summary.hidden]
    sent = {address.lower() for address in envelope.recipients}
    named = [person.address for person in (*summary.to, *summary.cc) if person.address.lower() not in sent]
    if envelope.recipients:
        found += [f"<{address}> — {words['not_sent']}" for address in named]
    return found


def replay_commands(summary: CaughtSummary, url: str, smtp: str) -> dict[str, str]:
    """Return commands for a shell, by program, that fetch the message's bytes from ``url`` and send them again to ``smtp`` (HOST:PORT)."""
    envelope = summary.envelope
    host, _, port = smtp.rpartition(":")
    raw = f"curl -s {shlex.quote(url)}"
    recipients = ",".join(envelope.recipients)
    to = " ".join([f"--mail-rcpt {shlex.quote(one)}" for one in envelope.recipients])
    python = (
        f"import smtplib, urllib.request\nmessage = urllib.request.urlopen({url!r}).read()\n"
        f"with smtplib.SMTP({host.strip('[]')!r}, {port}) as client:\n"
        f"    client.sendmail({envelope.reverse_path!r}, {list(envelope.recipients)!r}, message)"
    )
    return {
        "swaks": f"{raw} | swaks --server {smtp} --from {shlex.quote(envelope.reverse_path or '<>')} --to {shlex.quote(recipients)} --data -",
        "curl": f"{raw} | curl smtp://{smtp} --mail-from {shlex.quote(envelope.reverse_path)} {to} -T -",
        "Python": python,
    }
