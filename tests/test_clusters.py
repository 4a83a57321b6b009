"""The page on clusters runs as it is written, in a process of its own, with two worker processes of Dask on this machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def printed(blocks, folder):
    script = folder / "page.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(blocks, folder):
    text, promised = printed(blocks, folder), re.findall(r"#\s*> (.*)", "\n".join(blocks))
    assert promised and all(line in text for line in promised), text


def test_threads_jobs_and_named_arrays(tmp_path):
    pytest.importorskip("xarray")
    check([block for block in BLOCKS if "distributed" not in block], tmp_path)


@pytest.mark.slow
def test_two_worker_processes_of_dask(tmp_path):
    pytest.importorskip("distributed")
    check([BLOCKS[0], next(block for block in BLOCKS if "LocalCluster" in block)], tmp_path)
