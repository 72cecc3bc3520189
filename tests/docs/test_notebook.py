"""The notebook runs, and says what it is shown to say."""

import pytest

from tools import notebook

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(notebook.NOTEBOOK, as_version=4)


def test_its_cells_are_those_of_the_script(kept):
    cells = [(cell.cell_type, cell.source) for cell in notebook.notebook().cells]
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == cells, "run: make notebook"


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")  # of the kernel's own machinery
def test_run_again_it_says_the_same(kept, monkeypatch, tmp_path):
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    client = pytest.importorskip("jupyter_client.kernelspec", reason="jupyter is not installed")
    try:
        client.KernelSpecManager().get_kernel_spec("python3")
    except client.NoSuchKernel:
        pytest.skip("there is no Python kernel: pip install ipykernel")
    monkeypatch.chdir(tmp_path)
    assert notebook.words(notebook.executed()) == notebook.words(kept)
