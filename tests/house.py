"""The package as its source says it: modules, who imports whom wherever the import stands, classes and functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

Floors = Mapping[str, list[list[str]]]


class Arrow(NamedTuple):
    """An import within a room, or between rooms: `above` imports `below`, and stands in `room` at `upper`, `lower`."""

    importer: str
    imported: str
    room: str
    upper: int | None  # None: the floors do not name it
    lower: int | None


class ClassOf(NamedTuple):
    module: str
    name: str
    bases: tuple[str, ...]  # as they are written: names, or dotted names
    methods: frozenset[str]


@dataclass(frozen=True)
class House:
    """A checkout's package `pqstore`."""

    package: Path

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Without the package's own name: "storage.store"; "__init__" for the package itself."""
        return {self._name_of(path): path for path in sorted(self.package.rglob("*.py"))}

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.modules.items()}

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """module -> the modules of the package that it imports."""
        return {name: self._own_imports(name) for name in self.modules}

    def _name_of(self, path: Path) -> str:
        parts = path.relative_to(self.package).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)

    def imports(self, tree: ast.AST) -> Iterator[tuple[int, str]]:
        """Every module that is named by an import, with its line; of `from a import b` it is a.b where that is one."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, "imports are absolute"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield node.lineno, inner if inner.removeprefix("pqstore.") in self.modules else str(node.module)

    def _own_imports(self, name: str) -> set[str]:
        return {
            "__init__" if module == "pqstore" else module.removeprefix("pqstore.")
            for _, module in self.imports(self.trees[name])
            if module.partition(".")[0] == "pqstore"
        }

    def circles(self) -> list[list[str]]:
        """Modules that reach one another, each knot once. A face, too, is a module."""
        order: list[str] = []
        reached: set[str] = set()

        def visit(name: str) -> None:
            reached.add(name)
            for other in sorted(self.arrows[name] - reached):
                if other not in reached:
                    visit(other)
            order.append(name)

        for name in self.modules:
            if name not in reached:
                visit(name)
        importers: dict[str, set[str]] = {name: set() for name in self.modules}
        for name, others in self.arrows.items():
            for other in others:
                importers[other].add(name)
        left, knots = set(self.modules), []
        for name in reversed(order):
            knot, waiting = [], [name]
            while waiting:
                one = waiting.pop()
                if one in left:
                    left.remove(one)
                    knot.append(one)
                    waiting.extend(importers[one])
            if len(knot) > 1:
                knots.append(sorted(knot))
        return knots

    def arrows_between(self, floors: Floors) -> Iterator[Arrow]:
        """Every import, at the outermost room in which the two part."""
        for name, others in self.arrows.items():
            for other in sorted(others):
                room, mine, its = "", name.split("."), other.split(".")
                while mine and its and mine[0] == its[0]:
                    room = f"{room}.{mine[0]}" if room else mine[0]
                    mine, its = mine[1:], its[1:]
                if room in floors and mine and its:
                    yield Arrow(name, other, room, floor_of(floors[room], mine[0]), floor_of(floors[room], its[0]))

    @cached_property
    def classes(self) -> dict[tuple[str, str], ClassOf]:
        return {
            (name, node.name): ClassOf(name, node.name, tuple(map(ast.unparse, node.bases)), _methods(node))
            for name, tree in self.trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        }

    def methods(self, cls: ClassOf) -> frozenset[str]:
        """Its own, and those that it inherits from classes of the package."""
        inherited = (self.methods(base) for written in cls.bases if (base := self._class_of(cls.module, written)))
        return cls.methods.union(*inherited)

    def _class_of(self, module: str, written: str) -> ClassOf | None:
        """The class that a name means in a module, through faces that hand it on; None if it is not the package's."""
        name = written.partition("[")[0]
        if (module, name) in self.classes:
            return self.classes[module, name]
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "pqstore":
                for alias in node.names:
                    source = str(node.module).removeprefix("pqstore").lstrip(".") or "__init__"
                    if (alias.asname or alias.name) == name and source in self.modules:
                        return self._class_of(source, alias.name)
        return None

    def functions(self) -> Iterator[tuple[str, str, int]]:
        """(module, name, lines of the body, beside its docstring) of every function and method."""
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    body = node.body[1:] if ast.get_docstring(node, clean=False) else node.body
                    yield name, node.name, _last_line(body[-1]) - body[0].lineno + 1 if body else 0

    def folders(self) -> dict[Path, int]:
        """folder -> its Python files, without the face."""
        counts: dict[Path, int] = {}
        for path in self.modules.values():
            folder = path.parent.relative_to(self.package.parent)
            counts[folder] = counts.get(folder, 0) + (path.name != "__init__.py")
        return counts


def floor_of(floors: list[list[str]], part: str) -> int | None:
    return next((number for number, parts in enumerate(floors) if part in parts), None)


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _methods(node: ast.ClassDef) -> frozenset[str]:
    return frozenset(inner.name for inner in node.body if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)))
