"""Bytes from strangers: one harness for each parser, and two drivers over the same harnesses.

A harness takes any bytes. Only the house's own named errors (``AegisError``) may come out of it;
anything else, more than a second, or more than 200 MiB is a finding. ``test_parsers`` drives all of
them for a few hundred cases; ``make prove PART=fuzz`` for ten thousand each, and, where atheris is
installed, on from there along the paths that a case was the first to reach.

Replay what was found: python -m tests.fuzz.HARNESS FILE
"""
