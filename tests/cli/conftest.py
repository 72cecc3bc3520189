"""The command line in this process: ``aegis(...)`` gives the exit code and what was said."""

import pytest

from aegis.cli.app import run_command


@pytest.fixture
def aegis(capsys):
    def call(*words):
        code = run_command([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call
