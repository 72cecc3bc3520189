"""examples/notebook.ipynb: its cells as text, and what comes out when they are run.

    python -m tools.notebook            runs them and writes the notebook with its outputs

Without noise one seed gives one model, so the words that come out are the same each time; a test
runs the cells again and compares.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"

CELLS = (
    """# A federation in a notebook

Five hospitals train one model on public breast-cancer data. Needs Aegis and a notebook; no network,
no account. **Not medical software. Not independently audited.**""",
    """import tempfile
from pathlib import Path

import aegis

home = Path(tempfile.mkdtemp())  # models, log and results; AEGIS_HOME would do as well
plan = aegis.Plan(
    task="breast_cancer",
    seed=16,
    federated={"num_clients": 5, "num_rounds": 8},
    training={"solver": "newton", "l2": 1.0},
)
result = aegis.run(plan, home=home, audit=False)
print(f"accuracy {100 * result.accuracy:.1f} % on held-out patients of all hospitals")""",
    """## Was it worth it?

Each hospital's own model and the shared one, on the hospital's own held-out patients. Where a
hospital has fewer than ten of them, nothing is shown.""",
    """from IPython.display import Markdown


def percent(one):
    return "withheld" if one is None else f"{100 * one['accuracy']:.1f} %"


document = result.document
rows = ["| Hospital | Tested | Own model | Shared model |", "|---|---|---|---|"]
for hospital in document["comparison"]["hospitals"]:
    tested = hospital["examples"]
    few = tested < 10
    own, shared = (None, None) if few else (hospital["alone"], hospital["federated"])
    rows.append(
        f"| {hospital['name']} | {'fewer than 10' if few else tested} "
        f"| {percent(own)} | {percent(shared)} |"
    )
rows.append(f"| all, pooled in one place | | | {percent(document['pooled'])} |")
Markdown("\\n".join(rows))""",
    """## A picture""",
    """from IPython.display import Image

Image(result.files["plot"])""",
    """## The same with privacy

A total epsilon of 1 at each hospital, noise shared out inside the masked sum. This noise is never
drawn from the seed, so the accuracy differs a little each time; the price does not.""",
    """private = aegis.run(
    aegis.Plan(task="breast_cancer", privacy={"mechanism": "distributed", "epsilon_budget": 1.0}),
    home=home,
    audit=False,
)
privacy = private.document["privacy"]
print(f"total epsilon {privacy['epsilon']:.2f}, delta {privacy['delta']:g}, {privacy['unit']}")
print("still useful:", private.accuracy > 0.85)""",
    """## Predict

The model takes rows as they stand in a hospital's table, and says where it had to guess.""",
    """import warnings

model = aegis.load(result.files["model"])
patient = dict.fromkeys(model.feature_names_in_, 0.5)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # 0.5 lies outside the range of several columns
    print(model.positive, model.predict_proba([patient]).shape)""",
    """`home` holds the record of both runs. In a terminal, with `AEGIS_HOME` set to it,
`aegis audit verify latest` checks that nothing was changed afterwards.""",
)


def notebook() -> Any:
    """The cells without outputs."""
    import nbformat

    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, text in enumerate(CELLS):
        prose = not number or text.startswith(("#", "`"))
        make = nbformat.v4.new_markdown_cell if prose else nbformat.v4.new_code_cell
        made.cells.append(make(text, id=f"cell-{number:02d}"))
    return made


def executed() -> Any:
    """The notebook after its cells were run in a kernel of this Python."""
    from nbclient import NotebookClient

    ran = notebook()
    NotebookClient(ran, timeout=120, kernel_name="python3", record_timing=False).execute()
    for cell in ran.cells:
        if cell.cell_type == "code":
            cell.metadata = {}
    return ran


def words(ran: Any) -> list[str]:
    """What each code cell said; of a picture, that there was one."""
    said = []
    for cell in ran.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = output.get("text") or data.get("text/markdown") or ""
            said.append("a picture" if "image/png" in data else text)
    return said


def main() -> int:
    import nbformat

    ran = executed()
    nbformat.write(ran, NOTEBOOK)
    print("\n".join(words(ran)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
