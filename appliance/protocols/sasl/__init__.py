"""SASL mechanisms, server and client: RFC 4422, RFC 4616, RFC 5802, RFC 7677."""
