"""From settings to the reports that go to other domains and come from them; loaded where they are wanted.

Owns nothing at run time.
"""

import random
import secrets
from functools import partial

from appliance.app.checking import LateLookups
from appliance.app.wiring import Parts
from appliance.message.report_writing import Reporter
from appliance.net.offload import OwnThread
from appliance.net.tls import client_context
from appliance.services.queue.bounce import resolved_recipients
from appliance.services.reporting.posting import ReportPosting
from appliance.services.reporting.receiving import ReportReceiving
from appliance.services.reporting.service import Reporting, ReportOptions
from appliance.storage.received_reports import ReceivedReports
from appliance.storage.report_results import ReportResults
from appliance.storage.tls_state import TlsState

__all__ = ["make_receiving", "make_reporting"]


def make_reporting(parts: Parts) -> Reporting:
    """Return what gathers and sends reports."""
    config = parts.config
    email = config.reports.sender or f"postmaster@{config.domain}"
    reporter = Reporter(config.domain, email, config.effective_hostname)
    lookups, offload = LateLookups(parts), OwnThread("reports")
    context = partial(client_context, verify=True, authorities_file=config.relay.ca_file)
    return Reporting(
        ReportOptions(dmarc=config.reports.dmarc, tls=config.reports.tls, reporter=reporter, bind_address=config.relay.bind_address),
        ReportResults(parts.data / "reports.db"),
        TlsState(parts.data / "tls.db"),
        intake=parts.committer,
        lookups=lookups,
        recipients_of=partial(resolved_recipients, parts.addresses.directory),
        post=ReportPosting(lookups, context, offload),
        offload=offload,
        clock=parts.clock,
        mail_log=parts.mail_log,
        jitter=random.random,
        random_token=partial(secrets.token_hex, 8),
    )


def make_receiving(parts: Parts) -> ReportReceiving:
    """Return the local delivery that keeps reports of others."""
    return ReportReceiving(
        parts.local.current,
        frozenset(address.lower() for address in parts.config.reports.addresses),
        ReceivedReports(parts.data / "received.db"),
        offload=OwnThread("received"),
        clock=parts.clock,
        mail_log=parts.mail_log,
    )
