"""POP3 without sockets: states, grammar, replies, and the maildrop as numbers."""
