"""Odd values in every field of every form: answered in the 400s, and nothing is changed."""

from __future__ import annotations

import random

import pytest

from tests.console.hospital.conftest import ANA
from tests.console.hospital.test_approving import proposed

ODD = (
    *("", "\x00", "a" * 5000, "-1", "1e999", "nan", "../../x", "=1+1", "<script>", "%s%n"),
    *("\u202e", "\N{GRINNING FACE}", "[]", "{}", "None", "'; DROP TABLE", "\n\r", "9" * 40),
)
PAGES = (
    *("/h", "/plans", "/budget", "/data", "/results", "/results/predict", "/log", "/log.csv"),
    *("/policy", "/client/history/north", "/client/predict/north/test"),
)
FORMS = {
    "/budget/propose": ("epsilon_total", "reason"),
    "/budget/proposals/1/confirm": ("seen",),
    "/budget/proposals/99999999999999999999/refuse": ("reason",),
    "/policy": ("text", "before", "reason"),
    "/results/predict": ("c0", "c1", "pasted"),
    "/data": ("task", "label"),
    "/data/0000000000000000/register": ("task",),
    "/client/upload-data/": ("client_id", "task", "label"),
    "/client/aggregate/": (),
}


def _asked(kind, data, chance):
    if kind == "form":
        return {"data": data}
    if kind == "json":
        return {"json": data}
    if kind == "file":
        files = {chance.choice(["file", "c0"]): (chance.choice(ODD) or "n", b"\x00\xffa,b\n1,2\n")}
        return {"data": data, "files": files}
    types = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/plain")
    return {"content": chance.randbytes(50), "headers": {"Content-Type": chance.choice(types)}}


@pytest.mark.parametrize("seed", range(2))
def test_no_odd_value_makes_the_window_fail_or_changes_anything(window, desk, seed):
    chance, client = random.Random(seed), window(ANA)
    plan = proposed(desk)
    before = (desk.folder.policy.read_bytes(), desk.folder.registered)
    for path in PAGES:
        names = chance.sample(["page", "run", "sent", "task", "label", "model"], 3)
        answer = client.get(path, params={name: chance.choice(ODD) for name in names})
        assert answer.status_code < 500, path
    for path, fields in {**FORMS, f"/plans/{plan.sha256}": ("decision", "reason")}.items():
        for kind in ("form", "json", "file", "bytes"):
            data = {name: chance.choice(ODD) for name in fields}
            answer = client.post(path, **_asked(kind, data, chance))
            assert 400 <= answer.status_code < 500, (path, kind, answer.status_code)
    assert (desk.folder.policy.read_bytes(), desk.folder.registered) == before
    assert desk.decisions.proposals()[0].status == "pending"
    assert desk.acts.all() == []
