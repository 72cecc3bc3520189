"""Forwards to: aegis console --host 127.0.0.1 --port 5000"""

import sys

from aegis.cli import main

main(["console", "--host", "127.0.0.1", "--port", "5000", *sys.argv[1:]])
