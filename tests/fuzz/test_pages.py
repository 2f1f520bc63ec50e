"""Pages of LMDB damaged at random and on purpose: a named error or the right answer, and no end of the process."""

from __future__ import annotations

import shutil
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path

from .damage import DAMAGES, Pages
from .indexes import Sound, build, use
from .runner import Steps, run_cases


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Sound]:
    """Indexes of different sizes: trees of one page and of several, lists of free pages short and long."""
    path = tmp_path_factory.mktemp("sound")
    shapes = [("int64", 3), ("str", 9), ("int64", 40)]
    return [build(path / f"index-{commits}.pqs", id_type, commits) for id_type, commits in shapes]


def test_damaged_pages(sound: list[Sound], memory_path: Path) -> None:
    def case(rng: np.random.Generator, steps: Steps) -> None:
        chosen = sound[int(rng.integers(len(sound)))]
        path = memory_path / "damaged.pqs"
        shutil.copytree(chosen.path, path)
        file = generation_path(path, 1) / DATA_FILE
        pages = Pages(bytearray(file.read_bytes()))
        for done in range(int(rng.choice([1, 1, 1, 2, 4]))):
            damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
            try:
                pages = Pages(pages.content)
                steps(damage.__name__, partial(damage, rng, pages))
            except (struct.error, IndexError, ValueError):
                if not done:
                    raise
                break  # what is damaged already need not be a tree any more
            if len(pages.content) < 3 * 4096:
                break
        file.write_bytes(pages.content)
        use(path, chosen, steps)

    run_cases(case, memory_path)
