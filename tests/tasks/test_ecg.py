import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.plan import Plan, find_faults
from aegis.report.spending import privacy_of
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks.ecg import (
    FILE,
    LEARNT,
    SCHEMA,
    TESTED,
    _groups,
    ecg,
    read_beat_file,
    read_record,
)
from aegis.tasks.task import DataOptions, find_task
from aegis.tasks.wfdb_records import read_beats, read_header, read_signals

LEADS = ("MLII", "V5")


@pytest.fixture
def records():
    directory = os.environ.get("AEGIS_DATA_DIR")
    if not directory or not Path(directory, "ecg_mitbih", FILE).is_file():
        pytest.skip("AEGIS_DATA_DIR names no folder with the MIT-BIH beats")
    return Path(directory)


def packed(steps):
    """Format 212."""
    flat = steps.reshape(-1) & 0xFFF
    if len(flat) % 2:
        flat = np.append(flat, 0)
    a, b = flat[::2], flat[1::2]
    return np.stack([a & 255, a >> 8 | b >> 8 << 4, b & 255], axis=1).astype(np.uint8).tobytes()


def write_record(folder, name, steps, form="212", beats=(), leads=LEADS, rate=360, remark="69 M"):
    raw = packed(steps) if form == "212" else steps.astype("<i2").tobytes()
    (folder / f"{name}.dat").write_bytes(raw)
    lines = [f"{name} {len(leads)} {rate} {len(steps)}"]
    for lead, column in zip(leads, steps.T, strict=True):
        total = (int(column.sum()) + 32768) % 65536 - 32768
        lines.append(f"{name}.dat {form} 200 11 1024 {column[0]} {total} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join([*lines, f"# {remark}"]) + "\n")
    words, last = [], 0
    for place, kind in beats:
        gap = place - last
        if gap > 1023:
            words += [59 << 10, gap >> 16, gap & 0xFFFF]
            gap = 0
        words.append(kind << 10 | gap)
        last = place
    words += [63 << 10 | 3, 0x4142, 0x0043, 0]
    (folder / f"{name}.atr").write_bytes(np.array(words, "<u2").tobytes())
    return folder


@given(
    st.integers(1, 40),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["16", "212"]),
    st.integers(0, 9),
)
@settings(max_examples=60)
def test_signals_read_back_in_both_formats(tmp_path_factory, length, count, form, seed):
    folder = tmp_path_factory.mktemp("r")
    low, high = (-2048, 2048) if form == "212" else (-32768, 32768)
    steps = np.random.default_rng(seed).integers(low, high, (length, count))
    write_record(folder, "x", steps, form, leads=("a", "b", "c")[:count])
    header = read_header(folder / "x.hea")
    assert np.allclose(read_signals(folder, header), (steps - 1024) / 200)


def test_a_changed_or_cut_signal_is_found_out(tmp_path):
    write_record(tmp_path, "x", np.random.default_rng(0).integers(0, 2000, (60, 2)))
    header, path = read_header(tmp_path / "x.hea"), tmp_path / "x.dat"
    raw = path.read_bytes()
    path.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
    with pytest.raises(DataError, match="lead MLII does not add up"):
        read_signals(tmp_path, header)
    path.write_bytes(raw[:-3])
    with pytest.raises(DataError, match="holds 118 samples"):
        read_signals(tmp_path, header)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no WFDB header"),
        ("x 2 360 10\nx.dat 212\n", "does not describe 2 signals"),
        ("x/3 1 360 10\nx.dat 212\n", "one segment"),
        ("x 1 360 10\n../y.dat 212\n", "outside its folder"),
        ("x 2 360 10\nx.dat 212\ny.dat 212\n", "several files"),
        ("x 1 360 10\nx.dat 310\n", "format 310"),
    ],
)
def test_a_header_that_cannot_be_followed_is_refused(tmp_path, text, says):
    (tmp_path / "x.hea").write_text(text)
    (tmp_path / "x.dat").write_bytes(bytes(90))
    with pytest.raises(DataError, match=says):
        read_signals(tmp_path, read_header(tmp_path / "x.hea"))


def test_beats_are_read_over_long_gaps_and_notes(tmp_path):
    beats = [(100, 1), (5000, 5), (5400, 28), (90_000, 8)]
    write_record(tmp_path, "x", np.zeros((4, 2), int), beats=beats)
    places, kinds = read_beats(tmp_path / "x.atr")
    assert places.tolist() == [100, 5000, 90_000]
    assert kinds.tolist() == ["N", "V", "A"]
    (tmp_path / "x.atr").write_bytes((tmp_path / "x.atr").read_bytes()[:-2])
    with pytest.raises(DataError, match="ends before"):
        read_beats(tmp_path / "x.atr")


def invented(folder, numbers, **changes):
    rng = np.random.default_rng(1)
    for number in numbers:
        beats = [(300 * k + int(rng.integers(60)), 5 if k % 4 == 0 else 1) for k in range(1, 20)]
        steps = rng.integers(900, 1200, (6000, 2))
        write_record(folder, str(number), steps, beats=beats, **changes)
    return folder


def test_records_are_read_where_they_lie(tmp_path):
    found = ecg.load(DataOptions(path=invented(tmp_path, [101, 106, 100, 103])))
    assert len(found.rows) == 4 * 17
    assert found.rows.labels.sum() == 4 * 4
    assert set(found.rows.inputs) == set(SCHEMA.names)
    assert len(SCHEMA.columns) + 1 == 34
    record = found.rows.attributes["record"]
    assert np.array_equal(found.held_out, np.isin(record, [100, 103]))
    assert set(found.rows.attributes["sex"]) == {"male"}
    assert set(found.rows.attributes["age"]) == {69}
    assert "4 of 44 records" in found.source


@pytest.mark.parametrize("changes", [{"leads": ("V1", "V5")}, {"rate": 250}])
def test_another_lead_or_rate_is_refused(tmp_path, changes):
    with pytest.raises(DataError, match="lead MLII at 360 Hz is wanted"):
        read_record(invented(tmp_path, [101], **changes), 101)


def test_records_of_one_half_or_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds 1 of the 44"):
        ecg.load(DataOptions(path=invented(tmp_path, [101])))
    with pytest.raises(DataError, match="no data directory"):
        ecg.load(DataOptions())
    invented(tmp_path, [100])
    with pytest.raises(DataError, match="all of them unless"):
        ecg.load(DataOptions(directory=tmp_path))


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / FILE, X=np.zeros((3, 5)))
    with pytest.raises(DataError, match="no file of beats"):
        ecg.load(DataOptions(path=tmp_path / FILE))


def test_the_halves_share_no_record_and_one_person_is_at_one_hospital():
    assert not set(LEARNT) & set(TESTED)
    assert len(LEARNT) == len(TESTED) == 22
    groups = _groups([*LEARNT, *TESTED])
    assert groups[201] == groups[202]
    assert {groups[number] for number in LEARNT} == {groups[n] for n in TESTED} == {0, 1, 2, 3}


def test_the_unit_of_privacy_is_the_beat_and_the_result_says_so():
    assert find_task("ecg") is ecg
    private = {"privacy.enabled": True, "privacy.mechanism": "distributed"}
    plan = Plan(task="ecg", **private)
    assert not find_faults(plan)
    told = privacy_of(plan, {})
    assert told["unit"] == "heartbeat (a patient has hundreds) at one hospital"
    assert told["not_covered"][0].startswith("a patient as a whole")
    assert privacy_of(Plan(task="heart", **private), {})["unit"] == "patient record at one hospital"


@pytest.mark.data
@pytest.mark.parametrize("number", [100, 208])
def test_the_reader_agrees_with_beats_cut_by_another(records, number):
    own, theirs = (
        read_record(records / "ecg_mitbih", number),
        read_beat_file(records / "ecg_mitbih" / FILE),
    )
    theirs = theirs.take(theirs.attributes["record"] == number)
    assert own.labels.sum() == theirs.labels.sum()
    table, wanted = (
        np.stack([rows.inputs[name] for name in SCHEMA.names], axis=1) for rows in (own, theirs)
    )
    for row in wanted[:100]:
        assert np.abs(table - row).max(axis=1).min() < 0.002


@pytest.mark.data
def test_unseen_patients_are_told_well(records, tmp_path):
    plan = Plan(task="ecg")
    sites = Federation.of(plan, records).sites
    seen = set().union(*(site.train.attributes["record"].tolist() for site in sites.values()))
    tested = set().union(*(site.test.attributes["record"].tolist() for site in sites.values()))
    assert (seen, tested) == (set(LEARNT), set(TESTED))
    found = run(
        plan,
        home=tmp_path,
        data_directory=records,
        out=tmp_path / "out",
        compare=False,
        audit=False,
        files=False,
    )
    assert found.document["global"]["auc"] >= 0.945
    assert found.document["data"]["row"] == "heartbeat (a patient has hundreds)"
