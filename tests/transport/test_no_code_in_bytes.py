"""No bytes that anybody sent can become code: the formats that could are not in the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.py"), *ROOT.glob("benchmarks/*.py")])
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "torch.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
    "os.popen",
}
ARRAYS = {"np.load", "numpy.load"}  # fine with allow_pickle=False said aloud


def dangers(text):
    """Line and name of each thing that turns bytes into code."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found = [name.name for name in names if name.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module)):
                found = [module] if module.partition(".")[0] in MODULES else []
                found += [f"{module}.{n.name}" for n in node.names if f"{module}.{n.name}" in CALLS]
            case ast.Call(func=function, keywords=keywords):
                name = ast.unparse(function)
                said = {keyword.arg: ast.unparse(keyword.value) for keyword in keywords}
                plain = name in ARRAYS and said.get("allow_pickle") == "False"
                found = [name] if name in CALLS | ARRAYS and not plain else []
                risky = ("shell", "allow_pickle")
                found += [f"{name}({word})" for word in risky if said.get(word, "False") != "False"]
            case _:
                continue
        yield from ((node.lineno, name) for name in found)


def test_no_file_of_the_source_can_turn_bytes_into_code():
    assert len(SOURCES) > 100
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in SOURCES
        for line, name in dangers(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "def f():\n    from _pickle import loads",
        "torch.load(path)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "yaml.load(text)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=yes)",
    ],
)
def test_the_search_finds_what_it_is_for(text):
    assert list(dangers(text))


@pytest.mark.parametrize("text", ["np.load(path, allow_pickle=False)", "run(x, shell=False)"])
def test_what_cannot_run_code_is_left_alone(text):
    assert not list(dangers(text))
