"""The composition root and the commands; the only layer that names concrete classes."""
