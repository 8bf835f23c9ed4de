"""Runs the notebooks on a small study."""

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_stripped(path):
    cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]

    assert 0 < len(cells) < 15
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def test_the_log_ratio_tour_runs_and_its_assertions_hold(study, monkeypatch):
    from nbclient import NotebookClient

    notebook = nbformat.read(
        Path(__file__).parents[2] / "notebooks" / "dpo_log_ratios.ipynb", 4
    )
    monkeypatch.setenv("RLAIF_STUDY", str(study))
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()

    text = str(notebook)
    assert "recomputed the same" in text
    assert text.count("image/png") == 4
