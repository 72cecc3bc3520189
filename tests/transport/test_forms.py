"""Each request has its answer, and an answer to another question is none."""

from typing import get_args

import numpy as np
import pytest

from aegis.messages import Ask, Enrolled, Evaluate, Invite, Refusal, Request, Statistics, Train
from aegis.messages.stages import Advertise, Confirm, Mask, Masked, Opened, Share, Unmask
from aegis.messages.witness import Settle, Witness
from aegis.transport.forms import BESIDE, REQUESTS, replies_to
from aegis.transport.schemas import SLACK, misfit
from tests.transport.parties import train, update

STAGE = ("run", "plan", 1, 1, "train")
EACH = {
    "Enrolled": Invite("run", "plan", "{}"),
    "Counts": Ask("run", "plan", "{}", 0.1, 0.0),
    "Tally": Statistics("run", "plan"),
    "Update": train(),
    "Scores": Evaluate("run", "plan", 1, np.zeros(3), "test"),
    "Advertised": Advertise(*STAGE, ("a", "b", "c")),
    "Shared": Share(*STAGE, ()),
    "Masked": Mask(*STAGE, train(), {}),
    "Confirmed": Confirm(*STAGE, ("a",)),
    "Unmasked": Unmask(*STAGE, {}),
    "Checked": Opened(*STAGE, np.zeros(3, np.uint64), ("a",)),
    "Cosigned": Witness("run", "plan", 1, "note"),
    "Settled": Settle("run", "plan", 1),
}


def test_every_request_that_travels_is_taken_and_has_one_answer():
    kinds = {type(request) for request in EACH.values()}
    assert kinds == set(get_args(Request)) == {schema.kind for schema in REQUESTS}
    for answer, request in EACH.items():
        assert [schema.name for schema in replies_to(request)] == [answer, "Refusal"]
        (form,) = [schema for schema in REQUESTS if schema.kind is type(request)]
        assert misfit(request, form) is None


@pytest.mark.parametrize(("newton", "length"), [(False, 5), (True, 5 + 15)])
def test_an_update_has_as_many_numbers_as_the_plan_says(newton, length):
    form, _ = replies_to(train(), newton=newton)
    assert misfit(update(vector=np.zeros(length, np.float32)), form) is None
    assert misfit(update(vector=np.zeros(length + 1, np.float32)), form)
    assert misfit(update(vector=np.zeros(length)), form)
    assert form.limit == SLACK + 4 * length + 8 * 5


def test_a_masked_vector_is_no_longer_than_its_question_can_make_it():
    form, _ = replies_to(Mask(*STAGE, train(), {}))
    most = 2 * 5 + BESIDE
    assert misfit(Masked(*STAGE[:1], *STAGE[2:], "a", np.zeros(most, np.uint64)), form) is None
    assert "at most" in misfit(
        Masked(*STAGE[:1], *STAGE[2:], "a", np.zeros(most + 1, np.uint32)), form
    )
    assert form.limit == SLACK + 8 * most


def test_both_sides_find_the_same_digest_from_the_same_request():
    assert replies_to(train())[0].sha256 == replies_to(train(round=9))[0].sha256
    longer = Train("run", "0" * 64, 3, np.ones(6, np.float32), 0.1, 200, 2)
    assert replies_to(longer)[0].sha256 != replies_to(train())[0].sha256
    assert Refusal in {schema.kind for schema in replies_to(longer)}
    assert Enrolled not in {schema.kind for schema in replies_to(longer)}
