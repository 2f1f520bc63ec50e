"""Places of the next generation: what is none of ours is passed over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pqstore.storage.transactions.rebuilding_places import clear_places, free_places, hold, place_beside


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: Path(path).symlink_to("/etc/hostname")],
    ids=["pipe", "directory", "link"],
)
def test_what_only_has_the_name_of_a_place_is_passed_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe in the place of the file that says who works there made every write fail."""
    stray, place = place_beside(tmp_path), place_beside(tmp_path)
    stray.mkdir()
    make(stray / "held")
    hold(place).close()
    found = list(free_places(tmp_path))
    assert [path for path, _ in found] == [place]
    found[0][1].close()
    clear_places(tmp_path, everything=True)
    assert list(tmp_path.iterdir()) == [stray]
