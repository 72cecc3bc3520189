"""Forwards to: aegis audit membership"""

import sys

from aegis.cli import main

main(["audit", "membership", *sys.argv[1:]])
