"""What answers at the address of a join code may be anything."""

from __future__ import annotations

import pytest

from aegis.errors import BadInput, DataError
from aegis.identity.join_code import JoinCode
from aegis.operations.hospital import joining

CODE = JoinCode("aegis.example:8081", bytes(16), bytes(16))


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[" * 9999, b"[]", b"{}", b"\xff", b"5"])
def test_what_is_no_coordinator_is_said_to_be_none(monkeypatch, answer):
    monkeypatch.setattr(joining, "exchange", lambda *asked, **how: answer)
    with pytest.raises(DataError, match="no coordinator of Aegis"):
        joining._root(CODE)


@pytest.mark.parametrize("answer", [b"", b"[" * 9999, b'{"error": []}', b'{"error": "no"}', b"[5]"])
def test_an_error_in_other_words_is_no_coordinators(answer):
    found = joining._declined(CODE.address, 403, answer)
    assert isinstance(found, BadInput)
    assert "answers with status 403" in str(found)
