"""The MTA's outgoing side: route to hosts, connections, attempts."""
