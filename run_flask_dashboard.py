"""Forwards to: aegis coordinator --host 127.0.0.1 --port 5000"""

import sys

from aegis.cli import main

main(["coordinator", "--host", "127.0.0.1", "--port", "5000", *sys.argv[1:]])
