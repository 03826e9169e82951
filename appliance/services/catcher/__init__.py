"""The mail catcher: what `carteiro dev` adds to the server: a store of caught messages, its interfaces and its page."""
