"""From files of vectors to a plan: shards of about equal rows, cut where files can be cut."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pqstore.errors import CorpusFileError, DuplicateIdError
from pqstore.index.arguments.counts import as_count
from pqstore.index.arguments.ids import IdType
from pqstore.interop.corpus import Corpus, Wanted, files_of
from pqstore.paths import as_path
from pqstore.shards.repeated_ids import refuse_repeated
from pqstore.shards.shard_plan import MAX_SHARDS, Piece, Plan, PlannedShard, SourceFile
from pqstore.shards.source import fingerprint, open_source

__all__ = ["plan"]

_ID_ROWS = 1 << 16


def plan(
    source: Any,
    rows_per_shard: int = 1_000_000,
    *,
    id_column: str | None = None,
    payload_columns: Sequence[str] = (),
    skip_nulls: bool = False,
    first_id: int = 0,
    check_ids: bool = True,
) -> Plan:
    """Divide the rows of files into shards of about equal size. The same files give the same plan.

    Rows keep the order of the files, and shards follow one another in it. Files are cut at any row or, where rows
    cannot be read by themselves, between row groups (Parquet) or record batches (Arrow).

    Args:
        source: A file of vectors (.npy, .fbin, .fvecs, HDF5, Parquet, ...), ``FILE:NAME`` for a part of it, a
            directory, a pattern with ``*``; or a sequence of these.
        rows_per_shard: How many rows a shard is to have at most; row groups are not divided for it.
        id_column: The column of ids in Parquet and Arrow files; None: the one that is called "id", "ids", "_id" or
            "key", if any; "none": none. Without one, ids are numbers of rows, from `first_id` on.
        payload_columns: Columns that become payloads.
        skip_nulls: Leave rows without a vector out; otherwise one is an error when its shard is built.
        first_id: The first id, where ids are numbers of rows.
        check_ids: Read the column of ids, if there is one, and refuse ids that are given twice. Shards never ask one
            another: who says False vouches for it.

    Returns:
        A `Plan`.

    Raises:
        CorpusFileError: files are damaged, of several dimensions, or there are no rows.
        DuplicateIdError: an id is given twice.
        FileNotFoundError, InvalidPathError, MissingDependencyError: as for any file of vectors.
        TypeError, ValueError: an argument cannot be meant.

    Example:
        ``plan("corpus/*.parquet", rows_per_shard=5_000_000)``
    """
    most = as_count(rows_per_shard, "rows_per_shard")
    if isinstance(first_id, bool) or not isinstance(first_id, (int, np.integer)) or not 0 <= first_id < 1 << 62:
        raise ValueError(f"first_id must be a whole number of at least 0, got {first_id!r}")
    if isinstance(payload_columns, str):
        raise TypeError("payload_columns is a sequence of names, got a str")
    wanted = Wanted(id_column=id_column, skip_nulls=skip_nulls, payload_columns=tuple(payload_columns))
    paths, member = _located(source)
    corpora = [open_source(path, member, wanted) for path in paths]
    _check_alike(corpora)
    units = [corpus.units() for corpus in corpora]
    counts = [int(corpus.n or 0) for corpus in corpora]
    shards = _shards(counts, units, most, int(first_id))
    root = Path(os.path.commonpath([path.parent for path in paths]))
    files = tuple(
        SourceFile(str(path.relative_to(root)), path.stat().st_size, count, fingerprint(path))
        for path, count in zip(paths, counts, strict=True)
    )
    id_type = _id_type(corpora)
    if check_ids and corpora[0].id_column is not None:
        refuse_repeated(lambda: _ids(corpora), str(source))
    return Plan(
        root=str(root),
        files=files,
        shards=shards,
        D=corpora[0].D,
        dtype=str(np.result_type(*(corpus.dtype for corpus in corpora))),
        id_type=id_type,
        member=member,
        id_column=corpora[0].id_column,
        payload_columns=wanted.payload_columns,
        skip_nulls=bool(skip_nulls),
        metric=_metric(corpora),
        remarks=tuple(remark for corpus in corpora for remark in corpus.remarks),
    )


def _located(source: Any) -> tuple[list[Path], str | None]:
    """The files in their order, absolute, and the part of each that is named."""
    several = isinstance(source, Sequence) and not isinstance(source, (str, bytes))
    specs = [os.fspath(each) for each in (source if several else [source])]
    paths: list[Path] = []
    members: set[str | None] = set()
    for spec in specs:
        if spec == "-":
            raise CorpusFileError("standard input can be read once, and by one: plan over files")
        files = [path.absolute() for path in files_of(spec)]
        if not files:
            raise CorpusFileError(f"{spec}: files of vectors expected, got none")
        paths += files
        whole = as_path(spec)
        is_whole = whole.exists() or not any(f"{path.name}:" in spec or f"{path.suffix}:" in spec for path in files)
        members.add(None if is_whole else spec[spec.rindex(f"{files[0].suffix}:") + len(files[0].suffix) + 1 :])
    if len(members) != 1:
        raise CorpusFileError(f"one part of all files expected, got {sorted(map(str, members))}")
    if len(set(paths)) != len(paths):
        raise DuplicateIdError("a file is named twice: each row would be in two shards")
    return paths, members.pop()


def _check_alike(corpora: Sequence[Corpus]) -> None:
    first = corpora[0]
    for corpus in corpora:
        if corpus.D != first.D:
            raise CorpusFileError(f"{corpus.name}: dimension {first.D}, as in {first.name}, expected, got {corpus.D}")
        if corpus.id_column != first.id_column:
            raise CorpusFileError(
                f"{corpus.name}: ids in column {first.id_column!r}, as in {first.name}, expected, "
                f"got {corpus.id_column!r}: name one with id_column"
            )


def _metric(corpora: Sequence[Corpus]) -> str | None:
    """The metric that all files state; None: they state none, contradict each other, or state one that there is not."""
    metrics = {statement.metric for corpus in corpora for statement in corpus.statements}
    return metrics.pop() if len(metrics) == 1 else None


def _ids(corpora: Sequence[Corpus]) -> Iterator[Any]:
    for corpus in corpora:
        yield from corpus.id_blocks(_ID_ROWS) or ()


def _id_type(corpora: Sequence[Corpus]) -> IdType:
    first = next(_ids(corpora), None)
    return "str" if isinstance(first, list) else "int64"


def _shards(
    counts: Sequence[int], units: Sequence[Sequence[int] | None], most: int, first_id: int
) -> tuple[PlannedShard, ...]:
    """Shards of rows that follow one another, each cut the possible one next to where equal shares would end."""
    total = sum(counts)
    if total == 0:
        raise CorpusFileError("files with at least one row expected, got none")
    wanted = -(-total // most)
    if wanted > MAX_SHARDS:
        raise ValueError(f"rows_per_shard = {most:,} makes {wanted:,} shards, {MAX_SHARDS:,} at most: take more rows")
    ends = _ends(counts, units, [total * (number + 1) // wanted for number in range(wanted)])
    shards, start = [], 0
    for end in ends:
        shards.append(PlannedShard(first_id + start, end - start, tuple(_pieces(counts, units, start, end))))
        start = end
    return tuple(shards)


def _ends(counts: Sequence[int], units: Sequence[Sequence[int] | None], ideal: Sequence[int]) -> list[int]:
    """Row numbers at which shards end: ascending, distinct, the last after all rows."""
    starts = np.concatenate(([0], np.cumsum(counts)))
    ends: list[int] = []
    for end in ideal:
        file = int(np.searchsorted(starts, end, "left")) - 1
        of_file = units[file]
        cut = end
        if of_file is not None:
            cuts = starts[file] + np.concatenate(([0], np.cumsum(of_file)))
            cut = int(cuts[np.argmin(np.abs(cuts - end))])
        if cut > (ends[-1] if ends else 0):
            ends.append(cut)
    if ends[-1:] != [int(starts[-1])]:
        ends.append(int(starts[-1]))
    return ends


def _pieces(counts: Sequence[int], units: Sequence[Sequence[int] | None], start: int, end: int) -> Iterator[Piece]:
    """The pieces of the rows ``start .. end - 1`` of all files."""
    starts = np.concatenate(([0], np.cumsum(counts)))
    for file in range(int(np.searchsorted(starts, start, "right")) - 1, len(counts)):
        first, count, of_file = int(starts[file]), counts[file], units[file]
        low, high = max(start, first) - first, min(end, first + count) - first
        if first >= end:
            return
        if low >= high:
            continue
        if of_file is None:
            yield Piece(file, low, high, high - low)
        else:
            edges = np.concatenate(([0], np.cumsum(of_file)))
            # Groups without rows go with those after them, and at the end of a file with those before.
            begin = 0 if low == 0 else int(np.searchsorted(edges, low, "left"))
            stop = len(of_file) if high == count else int(np.searchsorted(edges, high, "left"))
            yield Piece(file, begin, stop, high - low)
