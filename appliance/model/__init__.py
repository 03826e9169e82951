"""The words every layer shares: identifiers, envelopes, outcomes, errors, ports. Pure, imports nothing of ours."""
