from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from aegis.report.pictures import accuracy_over_rounds, local_against_federated

BOTH = pytest.mark.parametrize("draw", [accuracy_over_rounds, local_against_federated])


def chunks(png: bytes) -> list[bytes]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append(png[at + 4 : at + 8])
        at += 12 + length
    return found


@BOTH
def test_equal_results_give_equal_bytes(draw, a_result, tmp_path):
    one, two = draw(a_result(), tmp_path / "one.png"), draw(a_result(), tmp_path / "two.png")
    assert one.read_bytes() == two.read_bytes()


@BOTH
def test_a_picture_carries_neither_date_nor_path_nor_program(draw, a_result, tmp_path):
    names = set(chunks(draw(a_result(), tmp_path / "p.png").read_bytes()))
    assert names <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_the_curve_changes_when_one_round_of_the_history_changes(a_result, tmp_path):
    before = accuracy_over_rounds(a_result(), tmp_path / "a.png").read_bytes()
    changed = a_result()
    changed["history"][2]["global"]["accuracy"] += 0.02
    assert accuracy_over_rounds(changed, tmp_path / "b.png").read_bytes() != before


@pytest.mark.parametrize("section", ["pooled", "mean_local"])
def test_the_curve_changes_when_a_reference_changes(section, a_result, tmp_path):
    result = a_result()
    del result["comparison"]
    for hospital in result["hospitals"][:1]:
        hospital["local"] = None
    before = accuracy_over_rounds(result, tmp_path / "a.png").read_bytes()
    result[section]["accuracy"] -= 0.03
    assert accuracy_over_rounds(result, tmp_path / "b.png").read_bytes() != before


@pytest.mark.parametrize("part", ["alone", "federated", "difference"])
def test_the_dot_plot_changes_when_a_comparison_changes(part, a_result, tmp_path):
    before = local_against_federated(a_result(), tmp_path / "a.png").read_bytes()
    changed = a_result()
    changed["comparison"]["hospitals"][0][part]["accuracy"] -= 0.05
    assert local_against_federated(changed, tmp_path / "b.png").read_bytes() != before


@BOTH
def test_synthetic_data_are_marked_in_the_picture(draw, a_result, tmp_path):
    before = draw(a_result(), tmp_path / "a.png").read_bytes()
    changed = a_result()
    changed["data"]["synthetic"] = True
    assert draw(changed, tmp_path / "b.png").read_bytes() != before


@BOTH
@pytest.mark.parametrize("hole", ["history", "comparison", "pooled", "mean_local", "hospitals"])
def test_a_gap_in_the_result_still_gives_a_picture(draw, hole, a_result, tmp_path):
    result = a_result()
    result[hole] = None
    assert draw(result, tmp_path / "p.png").stat().st_size > 5000


@BOTH
def test_names_are_text_and_never_markup(draw, a_result, tmp_path):
    centres = {
        "$\\frac{1}{0}$": (90, 40, 0.5),
        "</b>\n<script>": (90, 40, 0.5),
        "北京": (90, 40, 0.5),
    }
    assert draw(a_result(centres=centres), tmp_path / "p.png").exists()


@BOTH
def test_a_thousand_hospitals_and_rounds_stay_readable(draw, a_result, tmp_path):
    centres = {f"hospital {i:04d}": (60, 15, 0.5) for i in range(1000)}
    path = draw(a_result(rounds=1000, centres=centres), tmp_path / "p.png")
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert width == 1350
    assert height < 2000


def test_drawing_leaves_no_global_state_behind():
    code = (
        "import sys; from aegis.report.pictures import accuracy_over_rounds as draw\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from pathlib import Path; import tempfile\n"
        "from matplotlib import rcParams as now\n"
        "keys = sorted(set(now) - {'backend'})  # reading the backend imports pyplot\n"
        "before = [now[key] for key in keys]\n"
        "draw({}, Path(tempfile.mkdtemp()) / 'p.png')\n"
        "assert [now[key] for key in keys] == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_paths_are_returned(a_result, tmp_path):
    assert accuracy_over_rounds(a_result(), tmp_path / "p.png") == Path(tmp_path / "p.png")
