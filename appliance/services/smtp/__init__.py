"""MX, submission, LMTP and the catcher: sessions on top of ``protocols.smtp``, in front of the queue's ``Intake``."""
