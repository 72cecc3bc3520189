"""``python -m aegis``: the command line, where ``aegis`` itself is not on the path."""

from aegis.cli import main

main()
