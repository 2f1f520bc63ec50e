"""A file that takes its name when it is whole: until then, and after a failure, what was there before stays."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, cast

from pqstore.paths import as_path

__all__ = ["whole_file"]

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def _is_no_file(target: Path) -> bool:
    """Whether there is a device or a pipe, in whose place nothing may be put. Raises `IsADirectoryError`."""
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    return not stat.S_ISREG(mode)


@contextmanager
def whole_file(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """A stream to write and read; when the block ends without an exception the file is durable and named `path`.

    Who may read it is decided as for any file: by the umask, or by the permissions of the file that it replaces. A link
    stays, and leads to the file; what is no file, as /dev/stdout, gets all of it at the end.

    Raises:
        InvalidPathError: no file can have this name.
        OSError: the file cannot be written.
    """
    target = as_path(path)
    if _is_no_file(target):
        from tempfile import TemporaryFile  # noqa: PLC0415 # few write into pipes

        with TemporaryFile() as aside:
            yield cast(BinaryIO, aside)
            aside.seek(0)
            with target.open("wb") as out:
                shutil.copyfileobj(aside, out)
        return
    target = target.resolve()
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, _NEW, 0o666)
    try:
        with cast(BinaryIO, os.fdopen(descriptor, "w+b")) as stream:
            yield stream
            stream.flush()
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777)
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
