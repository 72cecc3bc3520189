"""Forwards to: aegis demo"""

from aegis.cli import main

main(["demo"])
