"""The house itself: what an import may load, how fast help answers, what the errors say."""

import importlib
import json
import os
import pickle
import pkgutil
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import aegis
from aegis import errors

ROOT = Path(__file__).parent.parent
HEAVY = "torch flwr ray sklearn pandas scipy numpy pydantic matplotlib rich typer yaml"


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


def test_importing_aegis_loads_the_standard_library_only():
    code = f"import sys, aegis; print([m for m in {HEAVY!r}.split() if m in sys.modules])"
    assert _python(code).strip() == "[]"


def test_the_tabular_path_never_imports_torch_or_sklearn(tmp_path):
    code = (
        "import sys; from aegis import Plan, run; from pathlib import Path;"
        "run(Plan(task='breast_cancer', federated={'num_rounds': 2}),"
        f" home=Path({str(tmp_path)!r}));"
        "print([m for m in ('torch', 'sklearn', 'pandas', 'flwr') if m in sys.modules])"
    )
    assert _python(code).strip().splitlines()[-1] == "[]"


def _processor_seconds(*command) -> float:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def once() -> float:
        before = spent()
        subprocess.run(command, check=True, capture_output=True)
        return spent() - before

    return min(once() for _ in range(5))


def test_help_costs_little_more_than_loading_the_command_line_library():
    """0.15 s on a quiet machine; on a busy one the ratio is what can be tested."""
    helping = _processor_seconds(Path(sys.executable).with_name("aegis"), "--help")
    loading = _processor_seconds(sys.executable, "-c", "import typer")
    assert helping < 3 * loading
    heavy = "numpy pydantic rich yaml sklearn torch matplotlib safetensors"
    code = f"import sys, aegis.cli.app; print([m for m in {heavy!r}.split() if m in sys.modules])"
    assert _python(code).strip() == "[]"


def _tree(cls: type) -> list[type]:
    return [cls, *(below for child in cls.__subclasses__() for below in _tree(child))]


def test_every_error_is_drawn_in_the_tree_and_survives_a_process():
    for found in pkgutil.walk_packages(aegis.__path__, "aegis."):
        if not found.name.startswith(("aegis.bench.peers.", "aegis.__main__")):  # need their peers
            importlib.import_module(found.name)
    ours = [cls for cls in _tree(errors.AegisError) if cls.__module__.startswith("aegis.")]
    for cls in ours:
        if cls.__name__.startswith("_"):  # never leaves its module
            continue
        assert cls.__name__ in (errors.__doc__ or "") or cls is errors.AegisError
    for error in (
        errors.BadInput("a", "b", "c"),
        errors.PlanError("one", "two"),
        errors.MissingExtra("an MLP", "torch"),
    ):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (type(error), str(error))
        assert json.dumps(back.as_json())


@pytest.mark.parametrize("cls", _tree(errors.AegisError))
def test_exit_codes_are_the_public_ones(cls):
    assert cls.exit_code in (1, 2, 3)


def test_the_layers_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout
