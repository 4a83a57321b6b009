"""A page of reference for each part of the package, made from the lists of public names when the documentation is built."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parent.parent / "sgdyn"
PARTS = {
    "problem": "Processes, potentials, noise", "sde": "Simulation", "density": "Densities and flows", "steady": "Stationary states",
    "escape": "Escape", "pathspace": "Paths and reachability", "linalg": "Operators", "nets": "Networks", "fit": "Fits to runs",
    "crosschecks": "Second opinions",
}  # fmt: skip
MODULES = ("landscapes", "datasets", "plot", "studies")


def names(listing: Path, package: str) -> list[tuple[str, str]]:
    """(module, name) of each public name."""
    found = []
    for node in ast.parse(listing.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = node.module if node.level == 0 else f"{package}.{node.module}"
            found += [(module, alias.asname or alias.name) for alias in node.names]
    return found


def part(module: str) -> str:
    """The page that a module belongs on."""
    top = module.split(".")[1]
    return top if top in PARTS else "problem"


def pages() -> dict[str, list[str]]:
    """The full names on each page."""
    found: dict[str, list[str]] = {name: [] for name in PARTS}
    public = names(PACKAGE / "__init__.pyi", "sgdyn") + names(PACKAGE / "fit" / "__init__.pyi", "sgdyn.fit")
    public += names(PACKAGE / "nets" / "__init__.py", "sgdyn.nets")
    for module, name in sorted(set(public), key=lambda pair: (pair[1].lower(), pair[1])):
        full = f"{module}.{name}"
        if full not in found[part(module)]:
            found[part(module)].append(full)
    return found


def page(title: str, full_names: list[str]) -> str:
    return f"# {title}\n\n" + "\n\n".join(f"::: {name}" for name in full_names) + "\n"


def on_files(files: Files, config: Any) -> Files:
    """MkDocs calls this with the files it has found."""
    for name, full_names in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=page(PARTS[name], full_names)))
    modules = [f"sgdyn.{name}" for name in MODULES]
    files.append(
        File.generated(config, "reference/modules.md", content=page("Landscapes, data, pictures, studies", modules))
    )
    return files
