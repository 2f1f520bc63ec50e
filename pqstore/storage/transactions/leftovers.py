"""What compactions leave beside the newest generation when they die, or when readers still use it."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pqstore.errors import PQStoreError
from pqstore.storage.disk.directory import generation_number, older_generations, remove_leftovers
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.regular_file import open_regular
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.limits import Limits
from pqstore.storage.transactions.generation import mark_superseded

try:
    import fcntl
except ImportError:  # then what a dead process was rebuilding stays
    fcntl = None  # type: ignore[assignment]

__all__ = ["clear_older", "clear_rebuilding", "hold", "rebuilding_beside"]

_REBUILDING = "rebuilding-"
_NAME = re.compile(rf"{_REBUILDING}[0-9a-f]{{12}}\Z")
_HELD = "held"
_MOMENT = 60.0  # seconds within which whoever made a directory takes hold of it


def rebuilding_beside(index: Path) -> Path:
    """A place in the directory of an index for a generation that is made while others write."""
    return index / f"{_REBUILDING}{uuid.uuid4().hex[:12]}"


def hold(place: Path) -> BinaryIO:
    """Make such a place, and keep it from being cleared away until the file that this gives is closed."""
    with opening(place.parent):
        place.mkdir(mode=0o700)
        held = (place / _HELD).open("xb")
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX)  # of this open file: another thread is as strange to it as another process
    return held


def clear_rebuilding(index: Path) -> None:
    """Remove what dead processes were rebuilding."""
    if fcntl is None:
        return
    places: list[Path] = []
    with suppress(OSError), os.scandir(index) as entries:
        places = [
            Path(entry.path) for entry in entries if _NAME.match(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    for place in places:
        with suppress(OSError):
            if not (place / _HELD).exists():
                if time.time() - place.stat().st_mtime > _MOMENT:
                    shutil.rmtree(place, ignore_errors=True)
                continue
            descriptor = open_regular(place / _HELD, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place, ignore_errors=True)
            finally:
                os.close(descriptor)


def clear_older(path: Path, number: int, used: Collection[int], limits: Limits) -> None:
    """Remove generations before this one. Readers that still have one are told, where its compaction has not.

    Needs the writer lock. `used` are generations that this process has open.
    """
    for older in older_generations(path, number):
        if generation_number(older) in used:
            continue  # marked when it was followed; to open it a second time would end its locks
        with suppress(PQStoreError, OSError):  # damaged
            environment = Environment(older, metasync=False, limits=limits)
            try:
                mark_superseded(environment)
            finally:
                environment.close()
    remove_leftovers(path, number)
    clear_rebuilding(path)
