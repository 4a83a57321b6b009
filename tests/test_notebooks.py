"""The notebooks run from top to bottom in a kernel of their own, print what they say and draw; they are kept without outputs."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))
LINES = re.compile(r"#\s*> (.*)")


def _listed(path):
    """The first one always; a kernel and a network each cost the others some 15 seconds."""
    return pytest.param(path, id=path.stem, marks=[] if path.stem == "double-well" else [pytest.mark.slow])


@pytest.fixture(params=map(_listed, NOTEBOOKS))
def notebook(request):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(request.param, as_version=4)


def test_notebooks_are_kept_without_outputs():
    assert {path.stem for path in NOTEBOOKS} == {"digits", "double-well", "your-own-run"}
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_runs_and_prints_what_it_says(notebook, monkeypatch):
    client, config = pytest.importorskip("nbclient"), pytest.importorskip("traitlets.config")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    pipes = config.Config({"KernelManager": {"transport": "ipc"}})
    client.NotebookClient(notebook, timeout=600, kernel_name="python3", config=pipes).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    promised = [(cell, line.strip()) for cell in code for line in LINES.findall(cell.source)]
    assert promised
    for cell, line in promised:
        printed = "".join(part.get("text", "") for part in cell.outputs)
        assert line in printed, printed
    kinds = [kind for cell in code for part in cell.outputs for kind in part.get("data", {})]
    assert kinds.count("image/png") >= 2
