"""Directories as nobody makes them: files missing, doubled, of another index, links, pipes, empty."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from .runner import Case, Steps, run_cases
from .whole_indexes import MAKES, build_all, use_all

Rng = np.random.Generator


def make_case(built: dict[str, Path], place: Path) -> Case:
    """Entries of a copy in `place` of one of some sound indexes are changed, and then it is used."""

    def case(rng: Rng, steps: Steps) -> None:
        name, other = (list(MAKES)[int(at)] for at in rng.integers(len(MAKES), size=2))
        path = place / "odd.pqs"
        shutil.copytree(built[name], path)
        for _ in range(int(rng.choice([1, 1, 2, 3]))):
            change = CHANGES[int(rng.integers(len(CHANGES)))]
            entry = chosen_entry(rng, path)
            steps(f"{change.__name__} of {entry.relative_to(path)}, in {name}", lambda: None)
            with suppress(OSError):  # what earlier changes have left may not take this one
                change(rng, entry, chosen_entry(rng, built[other]))
        use_all(path, name, steps)

    return case


def chosen_entry(rng: Rng, path: Path) -> Path:
    """Anything in a directory, or itself."""
    there = sorted(entry for entry in (path, *path.rglob("*")) if not entry.is_symlink())
    return there[int(rng.integers(len(there)))] if there else path


def _gone(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def missing(rng: Rng, entry: Path, other: Path) -> None:
    _gone(entry)


def empty(rng: Rng, entry: Path, other: Path) -> None:
    """Nothing in a file, or in a directory."""
    was_directory = entry.is_dir()
    _gone(entry)
    if was_directory:
        entry.mkdir()
    else:
        entry.touch()


def shortened(rng: Rng, entry: Path, other: Path) -> None:
    if entry.is_file():
        os.truncate(entry, int(rng.integers(entry.stat().st_size + 1)))


def prolonged(rng: Rng, entry: Path, other: Path) -> None:
    if entry.is_file():
        with entry.open("ab") as file:
            file.write(rng.bytes(int(rng.choice([1, 100, 5000]))))


def overwritten(rng: Rng, entry: Path, other: Path) -> None:
    if entry.is_file():
        entry.write_bytes(rng.bytes(int(rng.choice([1, 48, 4096, 20_000]))))


def of_another(rng: Rng, entry: Path, other: Path) -> None:
    """What another index has, whatever it is."""
    _gone(entry)
    if other.is_dir():
        shutil.copytree(other, entry)
    else:
        shutil.copyfile(other, entry)


def link(rng: Rng, entry: Path, other: Path) -> None:
    """A link to a copy of itself, to nothing, or to itself."""
    kind = int(rng.integers(3))
    aside = entry.with_name(entry.name + ".aside")
    if kind == 0:
        entry.rename(aside)
    else:
        _gone(entry)
    entry.symlink_to([aside, "/nothing/there", entry][kind])


def pipe(rng: Rng, entry: Path, other: Path) -> None:
    _gone(entry)
    os.mkfifo(entry)


def unix_socket(rng: Rng, entry: Path, other: Path) -> None:
    _gone(entry)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(entry))


def directory_instead(rng: Rng, entry: Path, other: Path) -> None:
    _gone(entry)
    (entry / "inner").mkdir(parents=True)


def file_instead(rng: Rng, entry: Path, other: Path) -> None:
    _gone(entry)
    entry.write_bytes(b"no directory")


def renamed(rng: Rng, entry: Path, other: Path) -> None:
    entry.rename(entry.with_name(_name(rng)))


def doubled(rng: Rng, entry: Path, other: Path) -> None:
    """Once more under another name."""
    target = entry.with_name(_name(rng))
    if entry.is_dir() and not target.exists() and not target.is_symlink():
        shutil.copytree(entry, target, symlinks=True)
    elif entry.is_file() and not target.is_dir():
        shutil.copyfile(entry, target)


def stray(rng: Rng, entry: Path, other: Path) -> None:
    """An entry more, of any kind."""
    folder = entry if entry.is_dir() else entry.parent
    target = folder / _name(rng)
    if target.exists() or target.is_symlink():
        return
    makers: tuple[Callable[[], object], ...] = (
        target.touch, target.mkdir, lambda: os.mkfifo(target), lambda: target.symlink_to("/nothing"),
    )  # fmt: skip
    makers[int(rng.integers(len(makers)))]()


def _name(rng: Rng) -> str:
    names = (
        "generation-00000000", "generation-00000002", "generation-00000003", "generation-99999999", "generation-1",
        "generation-00000001", "segment-00000000", "segment-00000001", "segment-99999999", "segment-x", "data.mdb",
        "lock.mdb", "writer.lock", "originals", "x.unfinished-y", "new\nline", "rebuilding-0123456789ab", "held",
    )  # fmt: skip
    return names[int(rng.integers(len(names)))]


CHANGES = (
    missing, empty, shortened, prolonged, overwritten, of_another, link, pipe, unix_socket, directory_instead,
    file_instead, renamed, doubled, stray,
)  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_all(tmp_path_factory.mktemp("sound"))


def test_directories_as_nobody_makes_them(sound: dict[str, Path], memory_path: Path) -> None:
    run_cases(make_case(sound, memory_path), memory_path)
