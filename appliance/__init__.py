"""Carteiro: a complete mail server as one process.

The layers, from top to bottom; a module imports only from lower lines, and
names on one line do not import each other (checked by import-linter):

    app         composition root and commands; alone names concrete classes
    services    one folder per role: smtp, queue, relay, delivery, imap, pop3, web, control
    net         trio plumbing: listeners, TLS, the pump, resolver, the door to threads
    storage | policy | observe | config
                crash-safe files | pure decisions | what is told | settings
    protocols | message
                sans-IO protocol cores | RFC 5322 and MIME over bytes
    model       identifiers, envelopes, outcomes, errors and the ports between services

A message's way: net.listeners -> protocols.smtp.server -> services.smtp ->
Intake (services.queue, storage.spool; the 250 goes out) -> services.queue ->
services.delivery (Maildir, mbox) or services.relay -> outcome, log, DSN.
"""

__version__ = "0.1.0"
