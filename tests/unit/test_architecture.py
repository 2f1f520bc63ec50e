"""The map of the rooms: who may import whom. Arrows point down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pqstore"

# room -> rooms it may import; every room may import itself and errors.
ALLOWED = {
    "errors": set(),
    "kernels": set(),
    "quantizer": {"kernels"},
    "storage": {"kernels"},  # the checksum, nothing else
    "index": {"storage", "quantizer", "kernels"},
    "interop": {"index", "quantizer", "kernels"},
    "cli": {"", "interop", "kernels", "index", "quantizer"},
    "__main__": {"cli"},
    "": {"index", "quantizer", "interop", "kernels"},
}
ONLY_IN_STORAGE = {"lmdb", "msgpack"}
OPTIONAL = {"faiss", "matplotlib", "h5py", "pyarrow", "rich", "shtab", "nanopq"}

# Index.to_faiss and Index.from_faiss hand over to the room above, which they import when they are called.
HANDED_OVER = {("index/index.py", "pqstore.interop.faiss")}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            if node.module == "pqstore":
                submodules = {p.stem for p in PACKAGE.iterdir()}
                found += [f"pqstore.{a.name}" if a.name in submodules else "pqstore" for a in node.names]
            else:
                found.append(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_down(path: Path) -> None:
    relative = path.relative_to(PACKAGE).with_suffix("").parts
    room = "" if relative == ("__init__",) else relative[0]
    tree = ast.parse(path.read_text())
    for module in imports(tree):
        top = module.partition(".")[0]
        assert top not in ONLY_IN_STORAGE or room == "storage", f"{path} imports {module}"
        if top == "pqstore":
            other = room_of(module)
            if (str(path.relative_to(PACKAGE)), module) in HANDED_OVER:
                continue
            assert other in ALLOWED[room] | {room, "errors"}, f"{path} imports {module}"
    if room == "storage":
        kernels = {m for m in imports(tree) if m.startswith("pqstore.kernels")}
        assert kernels <= {"pqstore.kernels.checksum"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_optional_libraries_are_imported_where_they_are_used(path: Path) -> None:
    top_level = ast.parse(path.read_text())
    for node in top_level.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert not {m.partition(".")[0] for m in imports(node)} & OPTIONAL, f"{path} line {node.lineno}"
