"""A plan: which rows of which files become which shard. A document; whoever has it builds the same shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pqstore.errors import DocumentError
from pqstore.index.arguments.ids import IdType
from pqstore.paths import as_path
from pqstore.shards.documents import COUNT, DIGEST, TEXT, canonical, digest, read_document, write_document
from pqstore.storage.format.fields import flag, list_of, matching, nullable, one_of, record_of, row, whole

__all__ = ["MAX_SHARDS", "Piece", "Plan", "PlannedShard", "SourceFile"]

MAX_SHARDS = 100_000
_KIND = "plan of shards"
_MOST_ROWS = 1 << 48
_LARGEST = 512 << 20  # bytes: a plan of a million pieces is a tenth of that
_DTYPE = matching(r"bool|float(16|32|64|96|128)|u?int(8|16|32|64)|[<>][fiu]([248]|12|16)", "the type of plain numbers")


class SourceFile(NamedTuple):
    """A file of vectors, as it was when the plan was made."""

    path: str
    """From the root of the plan."""
    bytes: int
    rows: int
    fingerprint: str
    """Of its size, first and last bytes: `pqstore.shards.source`."""


class Piece(NamedTuple):
    """Some units of a file: rows or, where those cannot be read by themselves, row groups."""

    file: int
    start: int
    stop: int
    rows: int


class PlannedShard(NamedTuple):
    """The rows of a shard, in their order."""

    first_id: int
    """The number of its first row among all; its id, where ids are not in a column."""
    rows: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Plan:
    """Which rows become which shard; see `pqstore.shards.plan`, which makes one.

    Its `hash` names the shards that are built by it. The directory that the files lie in is not part of the hash: on
    another machine they may be mounted elsewhere.
    """

    root: str
    """The directory that the paths of files start from."""
    files: tuple[SourceFile, ...]
    shards: tuple[PlannedShard, ...]
    D: int
    dtype: str
    id_type: IdType
    member: str | None = None
    """The array or column of vectors in each file; None: the one that is usual."""
    id_column: str | None = None
    """Where ids come from; None: ids are numbers of rows, over all files."""
    payload_columns: tuple[str, ...] = ()
    skip_nulls: bool = False
    metric: str | None = None
    """The metric that the files state; None: they state none."""
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """What a reader should be told of how the files were understood; not kept."""

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    @cached_property
    def hash(self) -> str:
        """32 hexadecimal digits that name what is planned."""
        body = self._body()
        del body["root"]
        return digest(canonical(body))

    def save(self, path: Any) -> None:
        """Write the plan to a file, which replaces an older one when it is whole.

        Raises:
            OSError: it cannot be written.
            DocumentError: the plan is larger than any that is read.
        """
        write_document(_followed(path), _KIND, _BODY, self._body(), _LARGEST)

    @classmethod
    def load(cls, path: Any, root: Any = None) -> Plan:
        """The plan that `save` wrote.

        Args:
            path: The file.
            root: Where the files of the plan lie on this machine; None: where they lay when it was made.

        Raises:
            FileNotFoundError: there is no such file.
            DocumentError: it is damaged, or no plan.
            FormatVersionError: a newer pqstore wrote it.
        """
        place = _followed(path)
        body = read_document(place, _KIND, _BODY, _LARGEST)
        try:
            return _plan_of(body if root is None else {**body, "root": str(as_path(root))})
        except DocumentError as error:
            raise DocumentError(f"{place} is no sound {_KIND}: {error}") from error

    def _body(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "files": [list(file) for file in self.files],
            "shards": [[s.first_id, s.rows, [list(piece) for piece in s.pieces]] for s in self.shards],
            "D": self.D,
            "dtype": self.dtype,
            "id_type": self.id_type,
            "member": self.member,
            "id_column": self.id_column,
            "payload_columns": list(self.payload_columns),
            "skip_nulls": self.skip_nulls,
            "metric": self.metric,
        }


def _followed(path: Any) -> Path:
    """Where a plan lies: its path is the caller's, and may be a link."""
    return Path(os.path.realpath(as_path(path)))


_FILE = row(TEXT, COUNT, whole(0, _MOST_ROWS), DIGEST)
_PIECE = row(whole(0, 1 << 24), whole(0, _MOST_ROWS), whole(0, _MOST_ROWS), whole(1, _MOST_ROWS))
_SHARD = row(whole(0, (1 << 62) - 1), whole(1, _MOST_ROWS), list_of(_PIECE, 1 << 20, 1))
_BODY = record_of(
    {
        "root": TEXT,
        "files": list_of(_FILE, 1 << 20, 1),
        "shards": list_of(_SHARD, MAX_SHARDS, 1),
        "D": whole(1, (1 << 24) - 1),
        "dtype": _DTYPE,
        "id_type": one_of("int64", "str"),
        "member": nullable(TEXT),
        "id_column": nullable(TEXT),
        "payload_columns": list_of(TEXT, 4096),
        "skip_nulls": flag,
        "metric": nullable(one_of("l2", "dot", "cosine")),
    }
)


def _plan_of(body: dict[str, Any]) -> Plan:
    """Checked values, checked against each other."""
    files = tuple(SourceFile(*file) for file in body["files"])
    shards = tuple(
        PlannedShard(first, rows, tuple(Piece(*piece) for piece in pieces)) for first, rows, pieces in body["shards"]
    )
    _check_files(files)
    _check_shards(shards, files)
    if body["id_type"] == "str" and body["id_column"] is None:
        raise DocumentError("id_type: int64 expected where ids are numbers of rows, got str")
    names = {"root", "D", "dtype", "id_type", "member", "id_column", "skip_nulls", "metric"}
    return Plan(
        files=files,
        shards=shards,
        payload_columns=tuple(body["payload_columns"]),
        **{name: body[name] for name in names},
    )


def _check_files(files: Sequence[SourceFile]) -> None:
    for at, file in enumerate(files):
        path = Path(file.path)
        if path.is_absolute() or ".." in path.parts:
            raise DocumentError(f"files[{at}]: a path within the root of the plan expected, got {file.path!r}")
    if len({file.path for file in files}) != len(files):
        raise DocumentError("files: each path once expected")


def _check_shards(shards: Sequence[PlannedShard], files: Sequence[SourceFile]) -> None:
    """Shards follow one another without a gap, and so do their pieces in the files: every row is in one shard."""
    following = shards[0].first_id
    file, unit, taken = 0, 0, 0
    for number, shard in enumerate(shards):
        if shard.first_id != following or shard.rows != sum(piece.rows for piece in shard.pieces):
            raise DocumentError(f"shards[{number}]: {following} as its first number and rows that are its pieces' sum")
        following += shard.rows
        for piece in shard.pieces:
            if piece.file != file:
                file, unit, taken = piece.file, 0, 0 if piece.file > file else -1
            if taken < 0 or piece.file >= len(files) or piece.start != unit or piece.stop <= piece.start:
                raise DocumentError(f"shards[{number}]: pieces in the order of the files, without a gap, expected")
            unit, taken = piece.stop, taken + piece.rows
            if taken > files[file].rows:
                raise DocumentError(f"shards[{number}]: {files[file].rows} rows of {files[file].path!r} expected")
    if following - shards[0].first_id != sum(each.rows for each in files):
        raise DocumentError("shards: every row of every file in one of them expected")
