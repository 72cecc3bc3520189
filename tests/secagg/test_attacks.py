"""A coordinator that cheats is refused by every honest hospital, each time."""

import random
from dataclasses import replace

import numpy as np
import pytest

from aegis import codec
from aegis.errors import CheckFailed
from aegis.identity.keys import SigningKey
from aegis.messages.learning import Refusal
from aegis.messages.stages import Confirmed, Unmasked
from aegis.secagg import DOMAIN, checks, threshold
from aegis.secagg.masks import private_key, public_key
from tests.secagg.sealed import Federation, some_vectors
from tests.secagg.tables import Table

SIZES = (3, 4, 8)


@pytest.fixture(params=SIZES)
def table(request):
    return Table(request.param)


def signed_advertised(table, name, key=None, **changed):
    """What ``name`` could have advertised, signed with ``key`` (its own unless told)."""
    one = replace(table.advertised[name], **changed)
    text = checks.advertised_text(
        table.context, one.hospital, one.encryption_key, one.mask_key, one.reveal
    )
    key = key or table.keys[name]
    return replace(one, signature=key.sign(DOMAIN, text))


# 1. One hospital in both lists.


def test_a_hospital_cannot_be_confirmed_alive_and_lost(table):
    table.to_confirm()
    victim = table.names[0]
    without = tuple(name for name in table.names if name != victim)
    for name in table.names:
        kept = []
        for survivors in (tuple(table.names), without):
            reply = table.confirm(name, survivors)
            if isinstance(reply, Confirmed):
                kept.append(reply)
        assert len(kept) <= 1
    # Whoever confirmed the first list refuses shares for the second.
    signatures = {name: table.sign_survivors(name, without) for name in table.names[:1]}
    for name in table.names:
        with pytest.raises(CheckFailed, match="confirmed the list of survivors"):
            table.participants[name].unmask(table.unmask_request(signatures))


def test_colluders_within_the_bound_do_not_open_a_second_list():
    for hospitals in (5, 8, 12):
        table = Table(hospitals)
        table.to_confirm()
        least = threshold(hospitals)
        colluders = table.names[: 2 * least - hospitals - 1]
        honest = [name for name in table.names if name not in colluders]
        victim, half = honest[0], honest[: len(honest) // 2]
        everybody = tuple(table.names)
        without = tuple(name for name in everybody if name != victim)
        first = {name: table.sign_survivors(name, everybody) for name in colluders}
        second = {name: table.sign_survivors(name, without) for name in colluders}
        for name in honest:
            survivors, kept = (everybody, first) if name in half else (without, second)
            reply = table.confirm(name, survivors)
            if isinstance(reply, Confirmed):
                kept[name] = reply.signature
        kinds = set()
        for name in honest:
            for kept in (first, second):
                reply = table.answer(name, table.unmask_request(kept), {})
                if isinstance(reply, Unmasked):
                    kinds.add("own" if victim in reply.self_shares else "mask")
        assert len(kinds) <= 1


@pytest.mark.parametrize("listed", [("h000", "h000"), ("h001", "h000")])
def test_a_list_of_survivors_out_of_order_or_with_one_twice_is_refused(table, listed):
    table.to_confirm()
    rest = tuple(name for name in table.names if name not in listed)
    for name in table.names:
        reply = table.confirm(name, (*listed, *rest))
        assert isinstance(reply, Refusal)


# 2. Different views for different hospitals.


def test_a_split_view_of_the_survivors_opens_nothing(table):
    table.to_confirm()
    views = [tuple(table.names), tuple(table.names[1:])]
    signatures = ({}, {})
    for number, name in enumerate(table.names):
        view = number % 2
        reply = table.confirm(name, views[view])
        if isinstance(reply, Confirmed):
            signatures[view][name] = reply.signature
    for name in table.names:
        for given in (*signatures, {**signatures[0], **signatures[1]}):
            with pytest.raises(CheckFailed):
                table.participants[name].unmask(table.unmask_request(given))
    assert not table.answered


def test_a_split_view_of_the_keys_makes_parcels_that_open_nowhere(table):
    """Two sets of keys of one hospital, both signed by it: only a colluder has them."""
    table.to_share()
    liar, victim = table.names[1], table.names[0]
    second = signed_advertised(table, liar, encryption_key=public_key(private_key(b"\7" * 32)))
    shown = [one if one.hospital != liar else second for one in table.listed]
    shares = {}
    for name in table.names:
        shares[name] = table.participants[name].share(
            table.share_request(shown if name == victim else table.listed)
        )
    with pytest.raises(CheckFailed, match=f"came as {liar}'s"):
        table.mask(victim, {n: s.shares[victim] for n, s in shares.items() if n != victim})


def test_survivors_that_never_shared_are_refused():
    table = Table(8)
    table.to_mask(without=["h007"])
    for name in table.names[:7]:
        table.masked(name)
    for name in table.names[:7]:
        reply = table.confirm(name, tuple(table.names))
        assert isinstance(reply, Refusal)
        assert "never shared" in reply.reason


# 3. Stages replayed, out of turn, or with other content.


def test_stages_out_of_turn_are_refused(table):
    one = table.participants[table.names[0]]
    requests = {
        "mask": lambda: one.mask(table.vectors[one.name], {}),
        "confirm": lambda: one.confirm(table.confirm_request(tuple(table.names))),
        "unmask": lambda: one.unmask(table.unmask_request({})),
        "open": lambda: one.check(table.opened_request()),
    }
    for ask in requests.values():
        with pytest.raises(CheckFailed, match="before its turn"):
            ask()
    table.to_share()
    for stage in ("mask", "confirm", "unmask", "open"):
        with pytest.raises(CheckFailed, match="before its turn"):
            requests[stage]()


def test_a_second_and_different_request_of_a_stage_is_refused():
    table = Table(8)
    table.to_mask()
    one = table.participants["h000"]
    with pytest.raises(CheckFailed, match="second and different request to share"):
        one.share(table.share_request(table.listed[:7]))
    table.masked("h000")
    with pytest.raises(CheckFailed, match="second and different request to mask"):
        table.mask("h000", dict(list(table.parcels("h000").items())[:6]))
    changed = table.vectors["h000"] + np.uint64(1)
    with pytest.raises(CheckFailed, match="second and different request to mask"):
        one.mask(changed, table.parcels("h000"))


def test_messages_of_an_earlier_round_are_refused_at_every_stage(table):
    table.finish()
    earlier = table
    now = Table(len(earlier.names), attempt=2)
    requests = [
        lambda one: one.share(earlier.share_request(earlier.listed)),
        lambda one: one.confirm(earlier.confirm_request(tuple(earlier.names))),
        lambda one: one.unmask(earlier.unmask_request(earlier.confirmations)),
        lambda one: one.check(earlier.opened_request()),
    ]
    for one in now.participants.values():
        one.advertise()
        for ask in requests:
            with pytest.raises(CheckFailed, match="this hospital is at"):
                ask(one)


# 4. Keys swapped on the way.


@pytest.mark.parametrize("which", ["encryption_key", "mask_key", "reveal"])
def test_a_peers_key_swapped_without_its_signature_is_refused(table, which):
    table.to_share()
    victim = table.names[-1]
    forged = replace(table.advertised[victim], **{which: public_key(private_key(b"\1" * 32))})
    shown = [forged if one.hospital == victim else one for one in table.listed]
    for name in table.names:
        with pytest.raises(CheckFailed, match="did not sign"):
            table.participants[name].share(table.share_request(shown))


def test_a_peers_key_signed_by_somebody_else_is_refused(table):
    table.to_share()
    victim, stranger = table.names[-1], SigningKey.generate()
    for signer in (stranger, table.keys[table.names[0]]):
        forged = signed_advertised(
            table, victim, signer, mask_key=public_key(private_key(b"\1" * 32))
        )
        shown = [forged if one.hospital == victim else one for one in table.listed]
        for name in table.names[:-1]:
            with pytest.raises(CheckFailed, match="did not sign"):
                table.participants[name].share(table.share_request(shown))


def test_a_stranger_on_the_list_is_refused(table):
    table.to_share()
    stranger = SigningKey.generate()
    forged = signed_advertised(table, table.names[0], stranger, hospital="h999")
    for name in table.names:
        with pytest.raises(CheckFailed, match="keys of a stranger"):
            table.participants[name].share(table.share_request([*table.listed, forged]))


def test_one_hospital_or_one_key_listed_twice_is_refused(table):
    table.to_share()
    first, second = table.names[:2]
    again = signed_advertised(table, second, mask_key=table.advertised[first].mask_key)
    shown = [again if one.hospital == second else one for one in table.listed]
    same = signed_advertised(table, second, mask_key=table.advertised[second].encryption_key)
    alike = [same if one.hospital == second else one for one in table.listed]
    for name in [first, *table.names[2:]]:
        one = table.participants[name]
        for wrong in (shown, alike):
            with pytest.raises(CheckFailed, match="one public key listed twice"):
                one.share(table.share_request(wrong))
        with pytest.raises(CheckFailed, match="twice in one list"):
            one.share(table.share_request([*table.listed, table.listed[0]]))


# 5. The hospital's own key altered.


def test_its_own_keys_altered_or_missing_are_noticed(table):
    table.to_share()
    for name in table.names:
        one = table.participants[name]
        earlier = signed_advertised(table, name, mask_key=public_key(private_key(b"\2" * 32)))
        shown = [earlier if other.hospital == name else other for other in table.listed]
        with pytest.raises(CheckFailed, match="not what it advertised"):
            one.share(table.share_request(shown))
        missing = [other for other in table.listed if other.hospital != name]
        with pytest.raises(CheckFailed):
            one.share(table.share_request(missing))


# 6. A lowered threshold.


def test_a_threshold_that_lets_two_lists_be_opened_is_refused():
    for hospitals in range(3, 13):
        for least in range(max(3, hospitals // 2 + 1)):
            with pytest.raises(CheckFailed, match="a threshold of"):
                Federation(hospitals, options={"least": least})


def test_fewer_than_the_threshold_are_refused_at_every_stage(table):
    least, names = table.least, table.names
    few = names[: least - 1]
    table.to_share()
    listed = [one for one in table.listed if one.hospital in few]
    with pytest.raises(CheckFailed, match="advertised keys"):
        table.participants[names[0]].share(table.share_request(listed))
    table.to_mask()
    own = names[0]
    parcels = {n: parcel for n, parcel in table.parcels(own).items() if n in few}
    with pytest.raises(CheckFailed, match="shared their secrets"):
        table.mask(own, parcels)
    table.to_confirm()
    reply = table.confirm(own, tuple(few))
    assert isinstance(reply, Refusal)
    assert "survived" in reply.reason
    assert isinstance(table.confirm(own, tuple(names)), Confirmed)
    signatures = {name: table.sign_survivors(name, tuple(names)) for name in few}
    with pytest.raises(CheckFailed, match="confirmed the list"):
        table.participants[own].unmask(table.unmask_request(signatures))


def test_confirmations_that_are_repeated_forged_or_by_strangers_do_not_count(table):
    table.to_confirm()
    names = tuple(table.names)
    for name in names:
        table.confirm(name, names)
    good = {name: table.sign_survivors(name, names) for name in names[: table.least - 1]}
    last = names[table.least - 1]
    wrong = [
        {**good, last: good[names[0]]},
        {**good, last: SigningKey.generate().sign(DOMAIN, b"")},
        {**good, "h999": good[names[0]]},
        {**good, last: b""},
        {**good, last: table.sign_survivors(last, names[1:])},
    ]
    for given in wrong:
        for name in names:
            with pytest.raises(CheckFailed):
                table.participants[name].unmask(table.unmask_request(given))


# 7. A second unmask.


def test_a_second_unmask_with_other_content_is_refused_and_the_same_repeated(table):
    table.finish()
    for name in table.names:
        one = table.participants[name]
        first = codec.dumps(table.answered[name])
        assert codec.dumps(one.unmask(table.unmask_request(table.confirmations))) == first
        fewer = dict(list(table.confirmations.items())[:-1])
        more = {**table.confirmations, "h999": b"x" * 64}
        for other in (fewer, more, {}):
            with pytest.raises(CheckFailed, match="second and different request to unmask"):
                one.unmask(table.unmask_request(other))


def test_after_the_answer_no_other_stage_is_open(table):
    table.finish()
    for name in table.names:
        one = table.participants[name]
        with pytest.raises(CheckFailed):
            one.share(table.share_request(table.listed))
        with pytest.raises(CheckFailed):
            one.mask(table.vectors[name], table.parcels(name))
        assert isinstance(table.confirm(name, tuple(table.names[1:])), Refusal)


# 8. A stale attempt.


def test_keys_parcels_and_confirmations_of_an_earlier_attempt_are_refused(table):
    table.finish()
    earlier, now = table, Table(len(table.names), attempt=2)
    now.to_share()
    name = now.names[0]
    stale = earlier.advertised[now.names[1]]
    moved = replace(stale, attempt=2)
    for wrong in (stale, moved):
        shown = [wrong if one.hospital == wrong.hospital else one for one in now.listed]
        with pytest.raises(CheckFailed):
            now.participants[name].share(now.share_request(shown))
    now.to_mask()
    mixed = {**now.parcels(name), now.names[1]: earlier.parcels(name)[now.names[1]]}
    with pytest.raises(CheckFailed, match="are not for"):
        now.mask(name, mixed)
    now.to_confirm()
    for each in now.names:
        now.confirm(each, tuple(now.names))
    with pytest.raises(CheckFailed):
        now.participants[name].unmask(now.unmask_request(earlier.confirmations))


def test_another_plan_run_or_purpose_is_another_sum(table):
    table.to_share()
    request = table.share_request(table.listed)
    for changed in ({"run": "other"}, {"plan_sha256": "other"}, {"round": 2}, {"purpose": "final"}):
        for name in table.names:
            with pytest.raises(CheckFailed, match="this hospital is at"):
                table.participants[name].share(replace(request, **changed))


# Parcels.


def test_parcels_swapped_altered_or_cut_are_refused_and_their_sender_is_named():
    rng = random.Random(7)
    for hospitals in (3, 5, 8):
        table = Table(hospitals)
        table.to_mask()
        own, first, second = table.names[0], table.names[1], table.names[2]
        parcels = table.parcels(own)
        flipped = bytearray(parcels[first])
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        for_another = table.shared[first].shares[second]
        from_another = parcels[second]
        for wrong in (bytes(flipped), parcels[first][:-1], b"", for_another, from_another):
            with pytest.raises(CheckFailed, match=f"the shares that came as {first}'s"):
                table.mask(own, {**parcels, first: wrong})


def test_parcels_of_strangers_and_of_itself_are_refused(table):
    table.to_mask()
    own = table.names[0]
    parcels = table.parcels(own)
    for wrong in ({**parcels, "h999": bytes(180)}, {**parcels, own: bytes(180)}):
        with pytest.raises(CheckFailed, match="advertised nothing"):
            table.mask(own, wrong)


def test_a_failed_attack_leaves_the_hospital_where_it_was():
    """Refusals change nothing: the honest request that follows is answered."""
    table = Table(4)
    table.to_share()
    with pytest.raises(CheckFailed):
        table.participants["h000"].share(table.share_request(table.listed[:2]))
    table.to_mask()
    with pytest.raises(CheckFailed):
        table.mask("h000", {**table.parcels("h000"), "h001": bytes(180)})
    table.to_confirm()
    assert isinstance(table.confirm("h000", ("h000",)), Refusal)
    with pytest.raises(CheckFailed):
        table.participants["h000"].unmask(table.unmask_request({}))
    table.finish()
    assert all(isinstance(reply, Unmasked) for reply in table.answered.values())


def test_no_attack_gives_both_kinds_of_shares_of_one_hospital():
    federation = Federation(8)
    federation.run(some_vectors(federation.names, 4, 1), [[], ["h001"], ["h002"], [], []])
    for _, reply in federation.told:
        if isinstance(reply, Unmasked):
            assert set(reply.mask_shares) == {"h002"}
            assert set(reply.self_shares) == set(federation.names) - {"h001", "h002"}
