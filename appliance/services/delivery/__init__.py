"""The MDA: mail for accounts of ours goes into their mailboxes."""
