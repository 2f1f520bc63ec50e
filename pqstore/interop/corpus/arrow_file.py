"""Parquet and Arrow files and streams: a column of vectors, and perhaps columns of ids and of payloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.arrow_ids import ID_NAMES, ArrowIds
from pqstore.interop.corpus.arrow_payloads import check_columns, payloads_in
from pqstore.interop.corpus.arrow_table import ArrowTable
from pqstore.interop.corpus.corpus import Corpus, Ids, Payloads, check_sizes
from pqstore.interop.corpus.statement import statements_in
from pqstore.interop.corpus.wanted import NO_COLUMN, VECTORS, Wanted

__all__ = ["ArrowCorpus"]


class ArrowCorpus(Corpus):
    """The one column of lists or tensors of numbers, or the one that is named, as vectors; tensors are flattened."""

    def __init__(
        self, path: Path, member: str | None = None, wanted: Wanted = VECTORS, groups: range | None = None
    ) -> None:
        """`groups`: only these of its row groups or record batches."""
        self.name = str(path) if groups is None else f"{path} (groups {groups.start} to {groups.stop - 1})"
        self._path, self._wanted = path, wanted
        self._table = ArrowTable(path, groups)
        self._arrow = self._table.arrow
        self._column, type_ = self._vector_column(member)
        self._payload_columns = wanted.payload_columns
        self._check(self._payload_columns)
        check_columns(self._arrow, self.name, self._table.schema, self._payload_columns)
        self.id_column = self._id_column_of(wanted.id_column)
        # Rows without a vector are left out of everything.
        self._valid = self._column if wanted.skip_nulls else None
        self.dtype = np.dtype(type_.value_type.to_pandas_dtype())
        self.D = int(type_.list_size) if self._arrow.types.is_fixed_size_list(type_) else self._first_length()
        self.n = self._table.rows if self._valid is None else self._count_valid()
        check_sizes(self.name, self.n, self.D, 0)
        self.statements = self._stated()
        skipped = self._table.rows - self.n
        self.remarks = (f"{path}: {skipped:,} rows without a vector are left out",) if skipped else ()

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        return self.scan(start, rows)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        seen = 0
        for batch in self._table.batches([self._column], self.block_rows(rows), self._valid):
            yield self._vectors(batch.column(0), seen)
            seen += len(batch)
        if seen != self.n:
            raise CorpusFileError(f"{self.name}: {self.n} rows expected, got {seen}")

    def id_blocks(self, rows: int | None = None) -> Iterator[Ids] | None:
        return None if self.id_column is None else self._ids(self.id_column, self.block_rows(rows))

    def payload_blocks(self, rows: int | None = None) -> Iterator[Payloads] | None:
        if not self._payload_columns:
            return None
        batches = self._table.batches(self._payload_columns, self.block_rows(rows), self._valid)
        return (payloads_in(self._arrow, self.name, batch, self._payload_columns) for batch in batches)

    def units(self) -> list[int]:
        rows = self._table.group_rows
        if self._valid is None:
            return list(rows)
        tables = [ArrowTable(self._path, range(group, group + 1)) for group in range(len(rows))]
        return [_count(table.batches([self._column], 1 << 16, self._valid)) for table in tables]

    def part(self, start: int, stop: int) -> Corpus:
        return ArrowCorpus(self._path, self._column, self._wanted, range(start, stop))

    def _ids(self, column: str, rows: int) -> Iterator[Ids]:
        ids = ArrowIds(self._arrow, self.name, column, self._table.schema.field(column).type)
        seen = 0
        for batch in self._table.batches([column], rows, self._valid):
            yield ids.ids_of(batch.column(0), seen)
            seen += len(batch)

    def _vectors(self, column: Any, first: int) -> npt.NDArray[Any]:
        if column.null_count:
            row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise CorpusFileError(
                f"{self.name}: a list of {self.D} values in row {row} expected, got null: "
                "--skip-nulls leaves such rows out"
            )
        if not self._arrow.types.is_fixed_size_list(column.type):
            lengths = self._arrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
            other = np.flatnonzero(lengths != self.D)
            if len(other):
                row = int(other[0])
                raise CorpusFileError(
                    f"{self.name}: a list of {self.D} values in row {first + row} expected, got {int(lengths[row])}"
                )
        values = column.flatten()
        if values.null_count:
            raise CorpusFileError(f"{self.name}: numbers expected in {self._column!r}, got null after row {first}")
        return values.to_numpy(zero_copy_only=False).reshape(-1, self.D)

    def _vector_column(self, member: str | None) -> tuple[str, Any]:
        """The name of the column of vectors, and the type of list that it is stored as."""
        schema = self._table.schema
        lists = {field.name: stored for field in schema if (stored := self._list_type(field.type)) is not None}
        if member is None and len(lists) != 1:
            raise CorpusFileError(
                f"{self.name}: one column of lists of numbers expected, got {list(lists) or 'none'} "
                f"among {self._table.names[:8]}; name one as {self.name}:COLUMN"
            )
        column = next(iter(lists)) if member is None else member
        self._check([column])
        if column not in lists:
            raise CorpusFileError(
                f"{self.name}: a column of lists of numbers expected in {column!r}, got {schema.field(column).type}"
            )
        return column, lists[column]

    def _list_type(self, type_: Any) -> Any:
        """How a column of vectors is stored; None: it holds something else."""
        types = self._arrow.types
        if isinstance(type_, self._arrow.BaseExtensionType):
            type_ = type_.storage_type
        kinds = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
        # Views of lists came with pyarrow 16.
        if not any(getattr(types, kind)(type_) for kind in kinds if hasattr(types, kind)):
            return None
        return type_ if types.is_integer(type_.value_type) or types.is_floating(type_.value_type) else None

    def _id_column_of(self, wanted: str | None) -> str | None:
        if wanted == NO_COLUMN:
            return None
        if wanted is not None:
            self._check([wanted])
            return wanted
        return next((name for name in ID_NAMES if self._table.index_of(name) is not None), None)

    def _check(self, columns: Any) -> None:
        for name in columns:
            if self._table.index_of(name) is None:
                raise CorpusFileError(f"{self.name} has no column {name!r}, it has {self._table.names[:20]}")

    def _first_length(self) -> int:
        """The length of the first list; every other one is checked against it."""
        first = next(self._table.batches([self._column], 1, valid=self._column), None)
        if first is None:
            raise CorpusFileError(f"{self.name}: lists of variable length and no vectors: no dimension is known")
        return int(self._arrow.compute.list_value_length(first.column(0))[:1].to_pylist()[0] or 0)

    def _count_valid(self) -> int:
        return _count(self._table.batches([self._column], self._table.rows or 1, self._valid))

    def _stated(self) -> Any:
        """What the metadata of the column, or else of the table, say of the metric."""
        field = self._table.schema.field(self._column)
        for metadata in (field.metadata, self._table.schema.metadata):
            found = {key.decode(errors="replace"): value for key, value in (metadata or {}).items()}
            stated = statements_in(self.name, found, found.__getitem__)
            if stated:
                return stated
        return ()


def _count(batches: Iterator[Any]) -> int:
    return sum(len(batch) for batch in batches)
