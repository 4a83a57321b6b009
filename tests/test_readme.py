"""The code of the README and of the tutorial runs, and prints what it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/tutorial.md")


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_from_top_to_bottom_and_prints_what_it_says(page, capsys):
    namespace = {}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number + 1}", "exec"), namespace)
        printed = capsys.readouterr().out
        for promised in re.findall(r"#\s*> (.*)", block):
            assert promised.strip() in printed, printed


def test_the_first_block_of_the_readme_prints_escape_times_that_agree(capsys):
    namespace = {}
    exec(blocks("README.md")[0], namespace)
    printed = capsys.readouterr().out
    assert "exact quadrature" in printed and "2000 paths" in printed
    assert namespace["simulated"].agrees(namespace["exact"])


def test_the_commands_of_the_readme_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert re.search(rf"^{command}:", makefile, re.M), command
