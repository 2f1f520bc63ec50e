"""Records that lie, with checksums that hold: a named error or an answer, and no end of the process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pqstore.storage.disk.directory import generation_path, newest_generation

from .record_damage import change_records
from .runner import Case, Steps, run_cases
from .whole_indexes import MAKES, build_all, use_all


def make_case(built: dict[str, Path], place: Path) -> Case:
    """Records of a copy in `place` of one of some sound indexes are damaged, and then it is used."""

    def case(rng: np.random.Generator, steps: Steps) -> None:
        name = list(MAKES)[int(rng.integers(len(MAKES)))]
        path = place / "lying.pqs"
        shutil.copytree(built[name], path)
        generation = generation_path(path, newest_generation(path))
        begun = [place / "generation-00000001" for place in path.glob("rebuilding-*")]
        told = change_records(rng, begun[0] if begun and rng.integers(2) else generation)
        steps(f"{told}, in {name}", lambda: None)
        use_all(path, name, steps)

    return case


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_all(tmp_path_factory.mktemp("sound"))


def test_records_that_lie(sound: dict[str, Path], memory_path: Path) -> None:
    run_cases(make_case(sound, memory_path), memory_path)
