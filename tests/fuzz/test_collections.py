"""Collections of other people: documents that lie, with sums that hold, links that lead out, shards of others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pqstore.shards.documents import canonical, digest
from pqstore.storage.disk.directory import generation_path, newest_generation

from .odd_values import changed_bytes, changed_plain
from .record_damage import change_records
from .runner import Case, Steps, run_case, run_cases
from .test_directories import CHANGES, chosen_entry
from .whole_collections import build_collections, use_collection

Rng = np.random.Generator


def make_case(built: dict[str, Path], place: Path) -> Case:
    """Something in a copy in `place` of a sound collection is changed, then used: nothing beside it changes."""

    def case(rng: Rng, steps: Steps) -> None:
        names = list(built)
        name, other = (names[int(at)] for at in rng.integers(len(names), size=2))
        path, outside = place / "odd.pqc", place / "outside"
        shutil.copytree(built[name], path)
        outside.mkdir()
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            change = _KINDS[int(rng.integers(len(_KINDS)))]
            with suppress(OSError):  # what earlier changes have left may not take this one
                steps(f"{change.__name__}: {change(rng, path, built[other], outside)}, in {name}", lambda: None)
        before = _contents(outside)
        use_collection(path, steps)
        assert _contents(outside) == before, "something outside of the collection has changed"

    return case


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _document(rng: Rng, path: Path) -> Path:
    there = sorted(entry for entry in path.glob("*.json") if entry.is_file() and not entry.is_symlink())
    few = [entry for entry in there if entry.name == "collection.json"]
    chosen = few if few and rng.integers(2) else there
    return chosen[int(rng.integers(len(chosen)))] if chosen else path / "plan.json"


def forged(rng: Rng, path: Path, other: Path, outside: Path) -> str:
    """A document that says something else."""
    place = _document(rng, path)
    try:
        contents = json.loads(place.read_bytes())
        contents.pop("sum", None)
        if rng.integers(12):
            contents["body"] = changed_plain(rng, contents["body"])
        else:
            contents = changed_plain(rng, contents)
        place.write_text(json.dumps({**contents, "sum": digest(canonical(contents))}))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # no document, or what JSON cannot say
        place.write_bytes(changed_bytes(rng, place.read_bytes()))
    return place.name[:30]


def damaged(rng: Rng, path: Path, other: Path, outside: Path) -> str:
    place = _document(rng, path)
    place.write_bytes(changed_bytes(rng, place.read_bytes()))
    return place.name[:30]


def of_another(rng: Rng, path: Path, other: Path, outside: Path) -> str:
    """A document, a quantizer or a shard of another collection under its own name here, or that of one here."""
    source = _entry(rng, other)
    target = _entry(rng, path) if rng.integers(2) else path / source.name
    _gone(target)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return f"{source.name[:30]} as {target.name[:30]}"


def leads_out(rng: Rng, path: Path, other: Path, outside: Path) -> str:
    """A link to what lies outside: the same, another, or nothing yet."""
    entry = _entry(rng, path)
    target = outside / f"{len(list(outside.iterdir()))}-{entry.name}"
    kind = int(rng.integers(3))
    if kind == 0:
        shutil.move(entry, target)
    elif kind == 1:
        _gone(entry)
        target.write_bytes(b"a file of somebody")
    else:
        _gone(entry)
    entry.symlink_to(target)
    return entry.name[:30]


def odd_entry(rng: Rng, path: Path, other: Path, outside: Path) -> str:
    """What `test_directories` does, to an entry of the collection or of a shard."""
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    entry = _entry(rng, path) if rng.integers(3) else chosen_entry(rng, path)
    change(rng, entry, chosen_entry(rng, other))
    return f"{change.__name__} of {entry.name[:30]}"


def records(rng: Rng, path: Path, other: Path, outside: Path) -> str:
    """Records of a shard that lie."""
    there = sorted(entry for entry in path.glob("shard-*") if entry.is_dir() and not entry.is_symlink())
    shard = there[int(rng.integers(len(there)))] if there else path
    generation = newest_generation(shard) if there else None
    return "" if not generation else change_records(rng, generation_path(shard, generation))


def _entry(rng: Rng, path: Path) -> Path:
    """Anything right in a directory; the lock may have to be made."""
    there = sorted(path.iterdir())
    names = [path / "collection.lock", *there]
    return names[int(rng.integers(len(names)))]


def _gone(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


_KINDS: tuple[Callable[[Rng, Path, Path, Path], str], ...] = (
    forged, forged, forged, forged, damaged, of_another, leads_out, leads_out, odd_entry, records,
)  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_collections(tmp_path_factory.mktemp("sound"))


def test_sound_collections_are_used(sound: dict[str, Path], memory_path: Path) -> None:
    def case(rng: Rng, steps: Steps) -> None:
        for name, path in sound.items():
            shutil.copytree(path, memory_path / f"{name}.pqc")
            use_collection(memory_path / f"{name}.pqc", steps)
        assert steps.refused == []

    outcome = run_case(case, 0)
    assert outcome.problem is None, outcome


def test_collections_of_other_people(sound: dict[str, Path], memory_path: Path) -> None:
    run_cases(make_case(sound, memory_path), memory_path)
