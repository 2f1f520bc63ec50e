"""Scratch directories: gone at the end, and after a kill at the next beginning; those in use stay."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pqstore.shards.scratch import scratch_directory
from tests.forked import in_child


def test_it_goes_at_the_end(tmp_path: Path) -> None:
    with scratch_directory(tmp_path) as directory:
        (directory / "x").write_text("")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError), scratch_directory(tmp_path) as directory:
        (directory / "missing").read_text()
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    def die() -> None:
        with scratch_directory(tmp_path) as directory:
            (directory / "x").write_text("")
            os.kill(os.getpid(), signal.SIGKILL)

    (tmp_path / "pqstore-shard-of-somebody-else").mkdir()
    with scratch_directory(tmp_path) as mine:
        (mine / "x").write_text("")
        assert in_child(die) != 0
        assert len(list(tmp_path.iterdir())) == 3
        with scratch_directory(tmp_path) as other:
            assert set(tmp_path.iterdir()) == {mine, other, tmp_path / "pqstore-shard-of-somebody-else"}
            assert (mine / "x").exists()
