"""Lets ``python -m appliance`` be the command ``carteiro``."""

import sys

from appliance.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
