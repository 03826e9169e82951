"""RFC 5322 and MIME over bytes: addresses, header fields, structure, trace fields, notifications."""
