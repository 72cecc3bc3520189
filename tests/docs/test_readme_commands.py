"""The README's quick commands are typed; tests/prove/test_guides.py types all of them."""

from tests.docs.pages import typed
from tests.docs.readme import cheap, commands, expected, furnish


def test_the_quick_commands_run(desk):
    furnish(desk)
    quick = [command for command in commands() if cheap(command)]
    assert len(quick) >= 5
    for command in quick:
        code, said = typed(command, desk)
        assert code in expected(command), f"{command} ended with {code}\n{said}"
        assert "Traceback" not in said
