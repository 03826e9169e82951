"""What the roles of SMTP listeners offer."""

from appliance.config.schema import SmtpConfig, SubmissionConfig
from appliance.protocols.sasl.mechanisms import CHECKED
from appliance.protocols.sasl.unchecked import UNCHECKED
from appliance.services.smtp.roles import catcher_role, lmtp_role, mx_role, submission_role


def test_only_the_catcher_takes_any_password() -> None:
    """Mail of people is never behind a mechanism that checks nothing."""
    smtp = SmtpConfig()
    assert [None, CHECKED, None] == [role.mechanisms for role in (mx_role(smtp), submission_role(SubmissionConfig()), lmtp_role(smtp))]
    assert UNCHECKED == catcher_role(smtp).mechanisms
