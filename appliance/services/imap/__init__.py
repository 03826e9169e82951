"""IMAP sessions over the mail store port. ``service.ImapService`` is the way in; read ``session`` next, then ``view``."""
