from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aegis.errors import DataError
from aegis.tasks import breast_cancer as module
from aegis.tasks.breast_cancer import breast_cancer
from aegis.tasks.task import DataOptions, Task


def test_there_are_569_patients_of_whom_212_are_ill() -> None:
    rows = breast_cancer.load(DataOptions()).rows
    assert len(rows) == 569
    assert np.bincount(rows.labels).tolist() == [357, 212]
    assert set(rows.inputs) == set(breast_cancer.schema.names)
    assert len(breast_cancer.schema.columns) == 30


def test_the_values_are_scikit_learns_and_the_label_is_turned_round() -> None:
    from sklearn.datasets import load_breast_cancer

    theirs = load_breast_cancer()
    rows = breast_cancer.load(DataOptions()).rows
    assert isinstance(rows.inputs, dict)
    assert list(theirs.feature_names) == list(breast_cancer.schema.names)
    for j, name in enumerate(theirs.feature_names):
        np.testing.assert_array_equal(rows.inputs[name], theirs.data[:, j])
    malignant = list(theirs.target_names).index("malignant")
    np.testing.assert_array_equal(rows.labels == 1, theirs.target == malignant)


def test_every_column_has_a_public_range_that_holds_nearly_all_patients() -> None:
    rows = breast_cancer.load(DataOptions()).rows
    assert isinstance(rows.inputs, dict)
    for column in breast_cancer.schema.columns:
        assert column.low is not None
        assert column.high is not None
        values = rows.inputs[column.name]
        assert np.mean((values >= column.low) & (values <= column.high)) > 0.99, column.name


def test_it_is_a_task() -> None:
    assert isinstance(breast_cancer, Task)
    assert "CC BY 4.0" in breast_cancer.credits


def test_loading_imports_neither_scikit_learn_nor_pandas_nor_torch() -> None:
    code = (
        "import sys\n"
        "from aegis.tasks.breast_cancer import breast_cancer\n"
        "from aegis.tasks.heart import heart\n"
        "from aegis.tasks.task import DataOptions\n"
        "breast_cancer.load(DataOptions())\n"
        "heart.load(DataOptions(synthetic=True))\n"
        "print([name for name in ('sklearn', 'pandas', 'torch', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "options",
    [DataOptions(synthetic=True), DataOptions(sites=("a",)), DataOptions(path=Path("x.csv"))],
)
def test_options_that_mean_nothing_here_are_refused(options: DataOptions) -> None:
    with pytest.raises(DataError):
        breast_cancer.load(options)


def test_a_damaged_installation_of_scikit_learn_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "breast_cancer.csv"
    damaged.write_text("569,30,malignant,benign\n" + ",".join("1" * 31) + "\n")
    monkeypatch.setattr(module, "_bundled", lambda: damaged)
    with pytest.raises(DataError, match="569 rows"):
        breast_cancer.load(DataOptions())
