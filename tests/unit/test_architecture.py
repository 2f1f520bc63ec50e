"""The floors of the house: who stands above whom, between rooms and inside them. Arrows point down only.

Imports inside functions, and those for type checkers alone, count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pqstore"

# From the ground up. What stands in one line may not import one another, unless it is one room.
FLOORS = {
    "": [
        ["errors", "arrays", "native"],
        ["kernels"],
        ["quantizer", "storage"],
        ["interop"],
        ["index"],
        ["__init__"],
        ["cli"],
        ["__main__"],
    ],
    "kernels": [
        ["chunk", "code_layout", "threads", "checksum", "readable"],
        ["reference"],
        ["contract"],
        ["searching"],
        ["compiled"],
        ["dispatch"],
        ["originals"],
    ],
    "storage": [
        ["format"],
        ["limits", "stats"],
        ["disk", "rows"],
        ["attachments", "idmap"],
        ["transactions"],
        ["upkeep"],
        ["store"],
        ["repair"],
    ],
    "storage.format": [["records"], ["state", "catalog", "segment_table", "staged"]],
    "storage.disk": [
        ["directory", "lmdb_errors", "crash_points"],
        ["writer_lock", "lmdb_pages"],
        ["data_file"],
        ["environment"],
    ],
    "storage.rows": [
        ["row_numbers", "tombstones", "packing", "id_columns"],
        ["geometry", "column_records"],
        ["schema"],
    ],
    "storage.attachments": [
        ["row_sets", "original_files", "payload_records", "saved_sets"],
        ["field_column"],
        ["field_records"],
    ],
    "storage.idmap": [["order"], ["search"], ["runs", "ranges", "recent"], ["merge"]],
    "storage.transactions": [
        ["cache", "staging", "allowances"],
        ["generation"],
        ["open_index", "state_records"],
        ["committed", "row_reads", "attachment_reads"],
        ["id_lookup", "pending"],
        ["row_writes", "attachment_writes", "snapshot"],
        ["write"],
    ],
    "storage.upkeep": [
        ["problem", "generation_copy", "merging", "rewriting"],
        ["verify_attachments", "backup", "compaction", "maintenance"],
        ["verify"],
    ],
    "storage.repair": [["report"], ["records"], ["rows", "attachments"], ["repair"]],
    "index": [
        ["arguments"],
        ["filters"],
        ["code_space"],
        ["settings", "records"],
        ["selection"],
        ["search"],
        ["recall"],
        ["reading"],
        ["index"],
        ["faiss_transfer"],
    ],
    "cli": [["report"], ["inputs"], ["measuring"], ["verbs"], ["main"]],
}
# room -> the rooms that it may import besides the ground; a room that is not named may import all below it.
ALLOWED = {
    "storage": {"kernels.checksum"},
    "interop": {"kernels", "quantizer"},
}
GROUND = {"errors", "arrays", "native"}
ONLY_IN_STORAGE = {"lmdb", "msgpack"}
OPTIONAL = {"faiss", "matplotlib", "h5py", "pyarrow", "rich", "shtab", "nanopq"}

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The module, without the package's own name: "storage.store"; "__init__" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module that is named by an import, with its line; of `from a import b` it is a.b where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner.removeprefix("pqstore.") in MODULES else str(node.module)


def own_imports(name: str) -> set[str]:
    """The modules of the package that a module imports."""
    found = {module for _, module in imports(ast.parse(MODULES[name].read_text()))}
    return {
        "__init__" if module == "pqstore" else module.removeprefix("pqstore.")
        for module in found
        if module.partition(".")[0] == "pqstore"
    }


IMPORTS = {name: own_imports(name) for name in MODULES}


def floor_of(room: str, part: str) -> int | None:
    return next((n for n, parts in enumerate(FLOORS[room]) if part in parts), None)


@pytest.mark.parametrize("name", MODULES)
def test_arrows_point_down(name: str) -> None:
    for other in IMPORTS[name]:
        # The rooms that both stand in, from the outermost in, until they part.
        room, mine, its = "", name.split("."), other.split(".")
        while mine and its and mine[0] == its[0]:
            room = f"{room}.{mine[0]}" if room else mine[0]
            mine, its = mine[1:], its[1:]
        if room not in FLOORS or not mine or not its:
            continue
        below, above = floor_of(room, its[0]), floor_of(room, mine[0])
        assert above is not None, f"{room or 'pqstore'} does not say where {mine[0]} stands"
        assert below is not None, f"{room or 'pqstore'} does not say where {its[0]} stands"
        assert below < above, f"{name} imports {other}, which stands on its floor or above"


@pytest.mark.parametrize("name", MODULES)
def test_rooms_import_what_they_may(name: str) -> None:
    room = name.partition(".")[0]
    if room not in ALLOWED:
        return
    for other in IMPORTS[name]:
        top = other.partition(".")[0]
        assert top in GROUND | {room} or ALLOWED[room] & {top, other}, f"{name} imports {other}"


def test_no_circles() -> None:
    """A package's face hands names on: what it imports counts as imported by who imports the face."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(IMPORTS[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_only_the_storage_reads_bytes(name: str) -> None:
    for line, module in imports(ast.parse(MODULES[name].read_text())):
        top = module.partition(".")[0]
        assert top not in ONLY_IN_STORAGE or name.startswith("storage."), f"{name} line {line} imports {module}"


@pytest.mark.parametrize("name", MODULES)
def test_optional_libraries_are_imported_where_they_are_used(name: str) -> None:
    for node in ast.parse(MODULES[name].read_text()).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert not {m.partition(".")[0] for _, m in imports(node)} & OPTIONAL, f"{name} line {node.lineno}"
