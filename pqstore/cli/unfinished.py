"""A build on its way: the directory INDEX.building, which becomes INDEX at the end, and what it says of itself.

Where INDEX is an empty directory, perhaps a mount point, it lies within that: INDEX/.building.

It holds `build.json` (source and settings, written once), `lock`, and `index`: an ordinary index, there from the
moment the quantizer is trained, filled in committed blocks. How many rows are done is what that index says.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pqstore.errors import (
    CorpusFileError,
    DimensionError,
    DuplicateIdError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidIdError,
    InvalidPayloadError,
    InvalidVectorError,
    PQStoreError,
)
from pqstore.storage.disk.directory import check_vacant, put_in_place
from pqstore.storage.disk.regular_file import check_directory, open_regular

__all__ = ["UnfinishedBuild", "identity_of"]

# After these the same command would only fail again; after any other, a build goes on where it stopped.
_BAD_INPUT = (
    CorpusFileError,
    DimensionError,
    DuplicateIdError,
    InvalidIdError,
    InvalidPayloadError,
    InvalidVectorError,
)

_WITHIN = ".building"

# Files of a source that are named one by one in the record.
_NAMED_FILES = 100


class UnfinishedBuild:
    """The directory of one build, locked while it is open; a context manager.

    Raises:
        IndexExistsError: there is something at the target.
        PQStoreError: the directory holds a build of another source, or with other settings.
        IndexLockedError: another process is building there.
    """

    def __init__(self, target: str, record: Mapping[str, Any], restart: bool = False) -> None:
        self.target = Path(target).absolute()
        self.directory = self.target.with_name(f"{self.target.name}.building")
        if self.target.is_dir() and not os.path.lexists(self.directory):
            self.directory = self.target / _WITHIN
        self.path = self.directory / "index"
        self._record = json.loads(json.dumps(record))
        self._restart = restart
        self._lock: int | None = None

    def __enter__(self) -> UnfinishedBuild:
        if not self.target.parent.is_dir():
            raise IndexNotFoundError(f"cannot create {self.target}: there is no directory {self.target.parent}")
        if not os.path.lexists(self.directory):
            self._check_vacant()
            self.directory.mkdir(mode=0o700, exist_ok=True)
        _check_ours(self.directory)
        self._lock = _take_lock(self.directory)
        try:
            self._check_vacant()
            self._begin()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Before the quantizer is trained there is nothing that would be worth keeping.
        useless = error is not None and (isinstance(error, _BAD_INPUT) or not self.is_trained)
        self._unlock()
        if useless:
            shutil.rmtree(self.directory)

    @property
    def is_trained(self) -> bool:
        """Whether the index is there already, and with it the quantizer."""
        check_directory(self.path)
        return self.path.is_dir() and any(self.path.iterdir())

    def finish(self) -> None:
        """Give the index, closed and durable, its name, and remove the directory."""
        put_in_place(self.path, self.target)
        self._unlock()
        shutil.rmtree(self.directory)

    def _check_vacant(self) -> None:
        if not os.path.lexists(self.target):
            return
        if self.target.is_dir() and not self.target.is_symlink():
            with suppress(IndexExistsError):
                check_vacant(self.target, beside=(_WITHIN,) if self.directory.parent == self.target else ())
                return
        if self._lock is not None and not self.is_trained:
            # A build was killed when it had given the index its name, before it could clean up.
            shutil.rmtree(self.directory, ignore_errors=True)
        raise IndexExistsError(f"{self.target} exists already: choose another path, or use pqstore add")

    def _begin(self) -> None:
        file = self.directory / "build.json"
        if self._restart and self.is_trained:
            shutil.rmtree(self.path)
        if self._restart or not file.exists():
            temporary = file.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            with temporary.open("x", encoding="utf-8") as stream:
                json.dump(self._record, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
            return
        try:
            with os.fdopen(open_regular(file), encoding="utf-8") as stream:
                begun = json.load(stream)
        except ValueError as error:
            raise PQStoreError(f"{file} is damaged ({error}): build again with --restart") from error
        difference = _difference(begun, self._record)
        if difference:
            raise PQStoreError(
                f"{self.directory} holds an unfinished build with another {difference}: "
                "give the same command to go on with it, or --restart to begin anew"
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def identity_of(spec: str, rows: int, D: int, dtype: str) -> dict[str, Any]:
    """What tells one source from another: shape, and names, sizes and times of its files (none for a stream)."""
    from pqstore.interop.corpus import files_of

    files: list[list[Any]] = []
    for path in files_of(spec):
        status = path.stat()
        files.append([str(path.absolute()), status.st_size, status.st_mtime_ns])
    if len(files) > _NAMED_FILES:
        import hashlib

        files = [[len(files), hashlib.sha256(json.dumps(files).encode()).hexdigest()]]
    return {"name": spec, "rows": rows, "D": D, "dtype": dtype, "files": files}


def _difference(begun: Any, wanted: Mapping[str, Any]) -> str:
    """The first thing in which two records differ, in words; "" when they are the same."""
    if not isinstance(begun, dict):
        return "record"
    for name in sorted({*begun, *wanted}):
        old, new = begun.get(name), wanted.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            return f"{name}: {_difference(old, new)}"
        if name == "files":
            return "state of its files (names, sizes or times)"
        return f"{name} ({old}, not {new})"
    return ""


def _check_ours(directory: Path) -> None:
    """The name can be foretold, so somebody else may have made it: what is in it is trusted, and removed at the end."""
    check_directory(directory)
    status = directory.lstat()
    if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022):
        raise IndexExistsError(
            f"{directory} belongs to another user, or others may write to it: it is not taken for a build of yours; "
            "remove it, make it yours alone (chmod go-w), or choose another path"
        )


def _take_lock(directory: Path) -> int:
    """A descriptor whose lock ends with the process."""
    descriptor = open_regular(directory / "lock", os.O_RDWR | os.O_CREAT)
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise IndexLockedError(f"another process is building in {directory}") from error
    return descriptor
