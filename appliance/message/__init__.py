"""RFC 5322 and MIME over bytes: parsed tolerantly, never raising for what a sender wrote, kept byte-exact. Pure."""
