"""The trio plumbing that services share: listeners, TLS, the pump, the resolver, the door to threads."""
