"""How the source is built: circles of imports, arrows up, large classes, long functions, full folders.

    python benchmarks/house.py [CHECKOUT ...]

Each CHECKOUT is a directory with `pqstore/` in it; this one if none is given. Imports inside functions and those for
type checkers count. Arrows are held to the floors in the checkout's own tests/unit/test_architecture.py where it has
them room by room, else to those of this checkout. Of classes, inherited methods count if they are the package's.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.house import Floors, House  # noqa: E402

METHODS, LINES = 25, 40


def floors_of(checkout: Path) -> Floors | None:
    """The table of the floors as a checkout's test of them writes it."""
    test = checkout / "tests" / "unit" / "test_architecture.py"
    if not test.exists():
        return None
    for node in ast.parse(test.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["FLOORS"]:
            table = ast.literal_eval(node.value)
            return table if isinstance(table, dict) else None
    return None


def show(title: str, found: list[str]) -> None:
    print(f"{len(found):5}  {title}")
    for line in found:
        print(f"       - {line}")


def report(checkout: Path) -> None:
    house = House(checkout / "pqstore")
    if not house.modules:
        sys.exit(f"{checkout} has no pqstore/ with Python files in it: name a checkout of pqstore")
    floors = floors_of(checkout)
    arrows = list(house.arrows_between(floors or floors_of(ROOT) or {}))
    placed = [arrow for arrow in arrows if arrow.upper is not None and arrow.lower is not None]
    sizes = [(len(house.methods(cls)), f"{cls.module}.{cls.name}") for cls in house.classes.values()]
    longest = [(lines, f"{module}.{name}") for module, name, lines in house.functions()]
    folder, files = max(house.folders().items(), key=lambda entry: entry[1])
    print(f"{checkout}: {len(house.modules)} modules")
    show("circles of imports", [" <-> ".join(knot) for knot in house.circles()])
    up = [f"{a.importer} imports {a.imported}" for a in placed if a.lower >= a.upper]
    show(f"arrows up, of {len(placed)}" + ("" if floors else " (floors of this checkout)"), up)
    nowhere = len(arrows) - len(placed)
    if nowhere:
        print(f"{nowhere:5}  arrows from or to what the floors do not name")
    show(f"classes over {METHODS} methods", [f"{name}: {n}" for n, name in sorted(sizes, reverse=True) if n > METHODS])
    show(f"functions over {LINES} lines", [f"{name}: {n}" for n, name in sorted(longest, reverse=True) if n > LINES])
    print(f"{files:5}  files in the largest folder, {folder}\n")


if __name__ == "__main__":
    for checkout in sys.argv[1:] or [ROOT]:
        report(Path(checkout).resolve())
