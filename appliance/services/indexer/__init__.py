"""Filling the text index in the background."""
