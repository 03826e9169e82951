"""Carteiro beside Postfix and Dovecot on one machine, in one run: ``python -m tests.bench --help``.

Standard library only, and no pytest: this runs wherever the server runs. The
modules import each other relatively, as ``tests`` is no package.
"""
