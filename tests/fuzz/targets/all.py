"""Every target there is."""

from tests.fuzz.engine import Target
from tests.fuzz.targets import (
    arc,
    catcher,
    directories,
    dkim,
    dmarc,
    finding,
    imap,
    imapmessages,
    imapsync,
    message,
    outgoing,
    pop3,
    proxy,
    reporting,
    reports,
    sasl,
    settings,
    smtp,
    spf,
    storage,
    web,
)

__all__ = ["TARGETS"]

TARGETS: list[Target] = [
    *smtp.TARGETS,
    *pop3.TARGETS,
    *proxy.TARGETS,
    *imap.TARGETS,
    *finding.TARGETS,
    *imapmessages.TARGETS,
    *imapsync.TARGETS,
    *sasl.TARGETS,
    *message.TARGETS,
    *outgoing.TARGETS,
    *settings.TARGETS,
    *spf.TARGETS,
    *arc.TARGETS,
    *dkim.TARGETS,
    *storage.TARGETS,
    *directories.TARGETS,
    *dmarc.TARGETS,
    *reporting.TARGETS,
    *reports.TARGETS,
    *web.TARGETS,
    *catcher.TARGETS,
]
