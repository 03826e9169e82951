"""Whether a refusal is about us rather than about the message: our address is on a list, has no name, is of a home line. Pure.

Owns the statuses and words by which big providers say so. A refusal of that kind is
no verdict on the recipient: another way, a smart host, may still deliver.

Does not: take a refused recipient, a full mailbox or a size for one.
Sources: RFC 3463 section 3.8 (X.7.1), RFC 7372 section 3.2 (X.7.25, X.7.26), replies of Gmail, Outlook, Yahoo, Spamhaus users.
"""

import re
from typing import Final

from appliance.model.outcome import Action, Outcome

__all__ = ["refuses_our_address"]

_ABOUT_US: Final = frozenset({"7.25", "7.27"})
"""Reverse DNS does not fit; the sender's host has no MX or address."""
_POLICY: Final = frozenset({"7.0", "7.1", "7.606", "7.511", "0.0", "1.8", "7.23"})
_WORDS: Final = re.compile(
    r"\b(?:ip(?:v[46])?[ -]?address|(?:your|sending|client|connecting) (?:ip|host|server|network|mta)|client host|reverse dns|rdns|ptr|"
    r"block ?list(?:ed)?|black ?list(?:ed)?|listed (?:by|in|at|on)|dns[bw]l|rbl|spamhaus|spamcop|barracuda|sorbs|s3140|s3150|"
    r"dynamic|residential|dial-?up|(?:low|poor|bad) reputation)\b",
    re.IGNORECASE,
)
MAX_WORDS: Final = 1_000


def refuses_our_address(outcome: Outcome) -> bool:
    """Tell whether a server has refused us for the address that we came from."""
    if outcome.action not in {Action.BOUNCED, Action.DEFERRED} or not outcome.diagnostic:
        return False
    detail = outcome.status.partition(".")[2]
    if detail in _ABOUT_US:
        return True
    return detail in _POLICY and _WORDS.search(outcome.diagnostic[:MAX_WORDS]) is not None
