"""Places in the directory of an index where its next generation is made while others write.

Whoever works in a place holds it by a lock on a file in it, which ends with its process. What the dead have left can be
taken over, and goes on from where they were; it is cleared away when nobody has for a day.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pqstore.errors import CorruptIndexError
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.disk.regular_file import open_regular
from pqstore.storage.disk.system_errors import opening

try:
    import fcntl
except ImportError:  # then what a dead process was rebuilding stays
    fcntl = None  # type: ignore[assignment]

__all__ = ["clear_places", "free_places", "hold", "place_beside"]

_REBUILDING = "rebuilding-"
_NAME = re.compile(rf"{_REBUILDING}[0-9a-f]{{12}}\Z")
_HELD = "held"
_MOMENT = 60.0  # seconds within which whoever made a directory takes hold of it
_KEPT = 86_400.0
"""Seconds for which what a dead process has made is kept for another to go on with."""


def place_beside(index: Path) -> Path:
    """The path of a new place."""
    return index / f"{_REBUILDING}{uuid.uuid4().hex[:12]}"


def hold(place: Path) -> BinaryIO:
    """Make a place, which is held until the file that this gives is closed."""
    with opening(place.parent):
        place.mkdir(mode=0o700)
        held = (place / _HELD).open("xb")
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX)  # of this open file: another thread is as strange to it as another process
    return held


def free_places(index: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Places that nobody holds any more, each held by the caller now, who closes the file; the newest first. What only
    has the name of one is passed over."""
    places: list[Path] = []
    with suppress(OSError), os.scandir(index) as entries:
        places = [
            Path(entry.path) for entry in entries if _NAME.match(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    for place in sorted(places, key=_last_written, reverse=True):
        with suppress(OSError, CorruptIndexError):  # where `held` is a pipe or a link, no process of ours has made it
            if not (place / _HELD).exists():
                if time.time() - place.stat().st_mtime > _MOMENT:
                    shutil.rmtree(place, ignore_errors=True)
                continue
            if fcntl is None:
                continue
            held = os.fdopen(open_regular(place / _HELD, os.O_RDWR), "rb")
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held.close()
                continue
            yield place, held


def clear_places(index: Path, *, everything: bool = False) -> None:
    """Remove what dead processes have left: what is a day old or has no data yet, or `everything`."""
    for place, held in free_places(index):
        with held:
            if everything or time.time() - _last_written(place) > _KEPT:
                shutil.rmtree(place, ignore_errors=True)


def _last_written(place: Path) -> float:
    """When the data file was written last; long ago where there is none."""
    try:
        return (generation_path(place, 1) / DATA_FILE).lstat().st_mtime
    except OSError:
        return 0.0
