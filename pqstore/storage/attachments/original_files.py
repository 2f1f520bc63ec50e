"""Files of original vectors beside the data file: one a segment, a fixed number of bytes a row, read only where asked.

Row `p` of a segment lies at `p * (row_bytes + 4)`: its bytes, then their CRC-32 (u32, little-endian), begun with the
low 32 bits of the row number so that a row in another's place is noticed. Which rows count, the counters in
the data file say: rows are written and synced before the commit that makes them count, what lies beyond is overwritten.
Rows that count are never changed; the file goes after its segment, when no snapshot can need it.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import CorruptIndexError, IndexNotFoundError
from pqstore.kernels.checksum import crc32
from pqstore.native import native_loops
from pqstore.storage.disk.directory import generation_path, newest_generation, sync_directory
from pqstore.storage.disk.held_directory import HeldDirectory
from pqstore.storage.disk.regular_file import check_directory, check_regular, open_regular
from pqstore.storage.disk.system_errors import file_errors
from pqstore.storage.format.records import ORIGINALS_CRC_BYTES, originals_name, originals_segment
from pqstore.storage.rows.row_numbers import by_segment

__all__ = [
    "OriginalFiles",
    "OriginalWriter",
    "copy_originals",
    "damaged_rows",
    "originals_directory",
    "remove_originals",
    "stored_segments",
]


def originals_directory(generation: Path) -> Path:
    """Where the files of a generation lie."""
    return generation / "originals"


class OriginalFiles:
    """Reads of one generation. Maps each file once; a map goes when nobody uses it any more."""

    def __init__(self, generation: Path, index: HeldDirectory | None = None) -> None:
        """With `index`, the directory that holds the generation, files are found whatever that is called meanwhile."""
        self._index = index
        self.rename(generation)
        self._arrays: dict[int, U8] = {}  # by segment, as far as its file was there when it was mapped
        self._lock = threading.Lock()
        self.leftovers = True
        """Whether files of segments that are gone may still be there."""

    def rename(self, generation: Path) -> None:
        """The generation is found at this path from now on."""
        self.directory = originals_directory(generation)

    def pin(self, counts: dict[int, int], row_bytes: int) -> None:
        """Map the files of segments, of which so many rows count."""
        for segment, rows in counts.items():
            # A file that is missing or short is reported when a row of it is asked for.
            with suppress(CorruptIndexError):
                self._map(segment, rows, row_bytes + ORIGINALS_CRC_BYTES)

    def clear(self) -> None:
        """Let go of all files."""
        self._arrays.clear()

    def forget(self, segment: int) -> None:
        """Let go of one file."""
        self._arrays.pop(segment, None)

    def gather(self, rows: I64, row_bytes: int, segment_rows: int) -> U8:
        """The bytes of rows that count, uint8 (n, row_bytes), copied, their checksums checked.

        Raises `CorruptIndexError` naming the row.
        """
        out = np.empty((len(rows), row_bytes), dtype=np.uint8)
        native = native_loops()
        # False: a file is not mapped yet, or not as far as is needed, or a row is damaged, which is named below.
        if native is not None and native.gather(self._arrays, segment_rows, rows, out):
            return out
        for segment, where, positions in by_segment(rows, segment_rows):
            stored = self._map(segment, int(positions.max()) + 1, row_bytes + ORIGINALS_CRC_BYTES)[positions]
            damaged = damaged_rows(stored, segment * segment_rows + positions)
            if len(damaged):
                row = segment * segment_rows + int(positions[damaged[0]])
                raise CorruptIndexError(f"original of row {row}: the checksum does not match its bytes")
            out[where] = stored[:, :row_bytes]
        return out

    def damaged(self, rows: I64, row_bytes: int, segment_rows: int) -> I64:
        """Places in `rows` of those that cannot be read or fail their checksum, as the files are now."""
        found = []
        for segment, where, positions in by_segment(rows, segment_rows):
            places = np.arange(len(rows))[where]
            stored = self._as_it_is(segment, row_bytes + ORIGINALS_CRC_BYTES)
            if stored is None:
                found.append(places)
                continue
            there = positions < len(stored)
            wrong = damaged_rows(stored[positions[there]], rows[places[there]])
            found += [places[~there], places[there][wrong]]
        return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def problems(self, rows: I64, row_bytes: int, segment_rows: int) -> list[str]:
        """What is wrong with the originals of rows that count, in words."""
        damaged = rows[self.damaged(rows, row_bytes, segment_rows)]
        if len(damaged) == 0:
            return []
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        return [f"damaged or missing: row {', '.join(map(str, damaged[:5].tolist()))}{more}"]

    def _as_it_is(self, segment: int, stride: int) -> U8 | None:
        """The rows of a file now; what was mapped when there is no file any more; None when it cannot be read."""
        try:
            return _open_map(self.open(segment), stride)
        except FileNotFoundError:
            return self._arrays.get(segment)
        except CorruptIndexError:
            return None

    def open(self, segment: int) -> int:
        """A descriptor of the file of a segment; the caller closes it."""
        name = originals_name(segment)
        try:
            return self._open(self.directory, name)
        except FileNotFoundError:
            newest = self._of_newest_generation()
            if newest == self.directory:
                raise
            return self._open(newest, name)

    def _open(self, directory: Path, name: str) -> int:
        start = None
        if self._index is not None:
            directory, start = Path(directory.parent.name, directory.name), self._index.descriptor
        check_directory(directory.parent, start)
        check_directory(directory, start)
        return open_regular(directory / name, directory=start)

    def _of_newest_generation(self) -> Path:
        """A compaction in another process removes our generation; the next one shares the files of its rows."""
        index = self.directory.parent.parent
        try:
            return originals_directory(generation_path(index, newest_generation(index)))
        except IndexNotFoundError:
            return self.directory

    def _map(self, segment: int, rows: int, stride: int) -> U8:
        stored = self._arrays.get(segment)
        if stored is not None and len(stored) >= rows:
            return stored
        path = self.directory / originals_name(segment)
        with self._lock, file_errors(path):
            try:
                stored = _open_map(self.open(segment), stride)
            except FileNotFoundError:
                raise CorruptIndexError(f"originals of segment {segment}: {path} is missing") from None
            if len(stored) < rows:
                raise CorruptIndexError(
                    f"originals of segment {segment}: {path} has {len(stored)} rows of {stride} bytes, "
                    f"{rows} are needed"
                )
            self._arrays[segment] = stored
            return stored

    @property
    def maps(self) -> dict[int, U8]:
        """The rows of all files that are mapped, by segment; of some of them not all rows that count."""
        return self._arrays

    def mapped(self, segment: int) -> U8 | None:
        """The rows of a file as far as they are mapped, uint8 (rows, row_bytes + 4)."""
        return self._arrays.get(segment)

    def file_bytes(self) -> int:
        """Bytes of all files."""
        path, start = self.directory, None
        if self._index is not None:
            path, start = Path(path.parent.name, path.name), self._index.descriptor
        check_directory(path, start)
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0), dir_fd=start)
        except FileNotFoundError:
            return 0
        try:
            with os.scandir(descriptor) as entries:
                ours = [entry for entry in entries if originals_segment(entry.name) is not None]
                return sum(entry.stat(follow_symlinks=False).st_size for entry in ours)
        finally:
            os.close(descriptor)


def _open_map(descriptor: int, stride: int) -> U8:
    """The whole rows of a file as it is now, uint8 (rows, stride), mapped. Closes the descriptor."""
    with os.fdopen(descriptor, "rb") as file:
        count = os.fstat(file.fileno()).st_size // stride
        if count == 0:
            return np.empty((0, stride), dtype=np.uint8)
        content = mmap.mmap(file.fileno(), count * stride, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):  # the candidates of a search lie anywhere: no page but theirs
        content.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(content, dtype=np.uint8).reshape(count, stride)


def damaged_rows(stored: U8, rows: I64) -> I64:
    """Which of `stored`, (n, row_bytes + 4), do not match their checksums, as places in `rows`."""
    expected = np.ascontiguousarray(stored[:, -ORIGINALS_CRC_BYTES:]).view("<u4").reshape(-1)
    return np.flatnonzero(_checksums(stored, rows) != expected)


def _checksums(stored: U8, rows: I64) -> npt.NDArray[np.uint32]:
    """Of all but the last four bytes of each row of `stored`, uint32 (n,)."""
    native = native_loops()
    if native is not None:
        sums = np.empty(len(rows), dtype=np.uint32)
        native.checksums(np.ascontiguousarray(stored), rows, sums)
        return sums
    size = stored.shape[1] - ORIGINALS_CRC_BYTES
    content = np.ascontiguousarray(stored[:, :size]).reshape(-1).data
    starts = (rows & 0xFFFFFFFF).tolist()
    return np.array(
        [crc32(content[at * size : (at + 1) * size], start) for at, start in enumerate(starts)], dtype=np.uint32
    )


class OriginalWriter:
    """The rows that one transaction writes."""

    def __init__(self, generation: Path, row_bytes: int, segment_rows: int) -> None:
        self._generation = generation
        self._directory = originals_directory(generation)
        self._row_bytes = row_bytes
        self._segment_rows = segment_rows
        self._open: dict[int, int] = {}
        self._new = False

    def write(self, first_row: int, originals: U8) -> None:
        """Rows `first_row ..`, uint8 (n, row_bytes); nothing counts before `sync` and the commit after it."""
        rows = np.arange(first_row, first_row + len(originals), dtype=np.int64)
        stored = np.empty((len(rows), self._row_bytes + ORIGINALS_CRC_BYTES), dtype=np.uint8)
        stored[:, : self._row_bytes] = originals
        stored[:, self._row_bytes :] = _checksums(stored, rows).astype("<u4").view(np.uint8).reshape(-1, 4)
        for segment, where, positions in by_segment(rows, self._segment_rows):
            with file_errors(self._directory / originals_name(segment)):
                descriptor = self._descriptor(segment)
                piece = stored[where].reshape(-1).data
                at = int(positions[0]) * stored.shape[1]
                while piece:
                    written = os.pwrite(descriptor, piece, at)
                    piece, at = piece[written:], at + written

    def _descriptor(self, segment: int) -> int:
        descriptor = self._open.get(segment)
        if descriptor is None:
            for full in [number for number in self._open if number < segment - 1]:
                self._finish(full)
            check_directory(self._directory)
            if not self._directory.is_dir():
                self._directory.mkdir()
                sync_directory(self._generation)
            path = self._directory / originals_name(segment)
            self._new |= not path.exists()
            descriptor = self._open[segment] = open_regular(path, os.O_WRONLY | os.O_CREAT)
        return descriptor

    def _finish(self, segment: int) -> None:
        descriptor = self._open.pop(segment)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Everything written is on the disk when this returns."""
        with file_errors(self._directory):
            for segment in list(self._open):
                self._finish(segment)
            if self._new:
                sync_directory(self._directory)
                self._new = False

    def close(self) -> None:
        """Give the files back; what was not committed means nothing."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def stored_segments(generation: Path) -> list[int]:
    """Numbers of the segments that have a file."""
    directory = originals_directory(generation)
    if not directory.is_dir():
        return []
    numbers = (originals_segment(entry.name) for entry in directory.iterdir())
    return sorted(number for number in numbers if number is not None)


def remove_originals(generation: Path, segments: Iterable[int]) -> None:
    """Remove the files of segments that are gone."""
    for segment in segments:
        (originals_directory(generation) / originals_name(segment)).unlink(missing_ok=True)


def copy_originals(source: OriginalFiles, target: Path, sizes: dict[int, int], *, link: bool) -> Iterator[int]:
    """The first bytes of the files of some segments (`sizes`: bytes that count) for another generation, on the disk
    when the iterator ends, which gives the bytes of each file when it is there.

    With `link` the files are shared where the file system can: for a generation that takes the place of the first.
    """
    if not sizes:
        return
    directory = originals_directory(target)
    directory.mkdir()
    for segment, size in sizes.items():
        new = directory / originals_name(segment)
        with file_errors(new):
            if not (link and _link(source.directory / new.name, new)):
                _copy_start(source, segment, new, size)
        yield size
    sync_directory(directory)
    sync_directory(target)


def _link(old: Path, new: Path) -> bool:
    check_regular(old)  # a hard link of a link would lead elsewhere as well
    try:
        new.hardlink_to(old)
    except OSError:  # another file system, or one without links: a copy is as good
        return False
    return True


def _copy_start(source: OriginalFiles, segment: int, new: Path, size: int) -> None:
    """Copy the first `size` bytes; a shorter source gives a shorter copy, which verify reports."""
    with new.open("xb") as target:
        try:
            descriptor = source.open(segment)
        except FileNotFoundError:
            # A compaction in another process removed it; what was mapped before is still there.
            stored = source.mapped(segment)
            if stored is None:
                raise
            target.write(stored.reshape(-1)[:size].data)
        else:
            with os.fdopen(descriptor, "rb") as old:
                left = size
                while left and (block := old.read(min(left, 1 << 20))):
                    target.write(block)
                    left -= len(block)
        target.flush()
        os.fsync(target.fileno())
