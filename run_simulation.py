"""Forwards to: aegis run, with config/config.yaml's nearest sound plan (examples/s1.yaml)."""

import sys

from aegis.cli import main

main(["run", *(sys.argv[1:] or ["examples/s1.yaml"])])
