"""Whole indexes to Faiss and back: codes, ids and metric, in blocks."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError, InvalidIdError
from pqstore.index import IdType, Index
from pqstore.interop.faiss.contents import FaissContents
from pqstore.interop.faiss.file import read_contents, write_index
from pqstore.interop.faiss.live import FaissBuilder, contents_of
from pqstore.quantizer import Quantizer

__all__ = ["export_index", "import_index", "open_index"]


def open_index(source: Any) -> FaissContents:
    """A Faiss index, live or in a file (str or path), taken apart. A file needs no Faiss.

    Raises:
        CorpusFileError: the file is damaged.
        UnsupportedIndexError: the type has no counterpart.
    """
    return read_contents(source) if isinstance(source, (str, PathLike)) else contents_of(source)


def export_index(index: Index, path: str | PathLike[str] | None = None, mapping: list[str] | None = None) -> Any:
    """The index as a Faiss IndexIDMap2 around an IndexPQ, in an IndexPreTransform if vectors are turned first.

    Its search returns our ids and distances. Faiss has no string ids: rows of an index of strings are numbered, and the
    string of number i becomes ``mapping[i]``, and line i, as JSON, of the file ``<path>.ids.jsonl``.

    Args:
        index: the index; rows are read in blocks.
        path: where to write an index file (without Faiss, in bounded memory); None builds it in memory.
        mapping: an empty list to be filled with string ids.

    Returns:
        The Faiss index; None if `path` is given.

    Raises:
        MissingDependencyError: `path` is None and Faiss is not installed.
        InvalidIdError: string ids, and neither `path` nor `mapping` to put them.
        UnsupportedIndexError: Ks beyond 65,536.
    """
    quantizer = _quantizer_of(index)
    strings: list[str] | _JsonLines | None = mapping
    lines: _JsonLines | None = None
    if path is not None and mapping is None:
        strings = lines = _JsonLines(Path(f"{os.fspath(path)}.ids.jsonl"))
    blocks = _numbered(index.iter_codes(), strings)
    if path is None:
        builder = FaissBuilder(quantizer, with_ids=True)
        for ids, codes in blocks:
            builder.add(codes, ids)
        return builder.finish()
    try:
        write_index(path, quantizer, blocks)
        if lines is not None:
            lines.keep()
    finally:
        if lines is not None:
            lines.close()
    return None


def _quantizer_of(index: Index) -> Quantizer:
    """The quantizer, with the metric that the index searches by."""
    settings, arrays = index.quantizer.state()
    return type(index.quantizer).from_state({**settings, "metric": index.metric}, arrays)


def _numbered(
    blocks: Iterable[tuple[Any, npt.NDArray[Any]]], strings: Any
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
    """Blocks with ids that are numbers: int64 as they are, strings numbered, and kept in `strings`."""
    count = 0
    for ids, codes in blocks:
        if len(ids) and isinstance(ids[0], str):
            if strings is None:
                raise InvalidIdError(
                    "Faiss has no string ids: give mapping=[], which is filled so that mapping[number] is the string"
                )
            strings.extend(ids)
            yield np.arange(count, count + len(ids)), codes
        else:
            yield np.asarray(ids, dtype=np.int64), codes
        count += len(ids)


class _JsonLines:
    """Strings, one a line, in a file that appears only when there are any and all are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Any = None

    def extend(self, strings: Iterable[str]) -> None:
        if self._stream is None:
            self._stream = tempfile.NamedTemporaryFile(  # noqa: SIM115 # closed by close()
                "w", encoding="utf-8", dir=self._path.parent, prefix=f".{self._path.name}.", delete=False
            )
        self._stream.writelines(json.dumps(str(text)) + "\n" for text in strings)

    def keep(self) -> None:
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            Path(self._stream.name).replace(self._path)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            Path(self._stream.name).unlink(missing_ok=True)


def import_index(
    path: str | PathLike[str], source: Any, ids: npt.ArrayLike | Sequence[str] | None = None, **settings: Any
) -> Index:
    """An index at `path` with the codes, ids and metric of a Faiss index, live or in a file.

    The index appears at `path` when it is whole: a failure leaves nothing there.

    Args:
        path: where no file or directory is yet.
        source: a Faiss index, or the path of an index file (read without Faiss, in blocks).
        ids: one a row, int64 or str, instead of those of `source`; without any, ids are row numbers.
        settings: passed on to ``Index.create``.

    Returns:
        The open `Index`.

    Raises:
        IndexExistsError: something is at `path`.
        CorpusFileError: the file is damaged.
        UnsupportedIndexError: the type has no counterpart; NotTrainedError: it is not trained.
        DuplicateIdError: an id occurs twice. DimensionError: not one id a row.
    """
    contents = open_index(source)
    quantizer = contents.quantizer()
    given = None if ids is None else _given_ids(ids, contents.rows)
    id_type: IdType = "int64" if given is None or given.dtype.kind in "iu" else "str"
    # In bulk: under another name until all is there.
    with Index.create(path, quantizer, id_type=id_type, bulk=True, **settings) as index:
        start = 0
        for codes, numbers in zip(contents.code_blocks(), contents.id_blocks(), strict=True):
            block = numbers if given is None else given[start : start + len(codes)]
            index.add_codes(codes, block if id_type == "int64" else block.tolist())
            start += len(codes)
    return Index.open(path)


def _given_ids(ids: Any, rows: int) -> npt.NDArray[Any]:
    array = np.asarray(ids)
    if array.dtype.kind == "U":
        array = np.asarray(ids, dtype=object)  # fixed-width strings lose trailing NULs
    if array.ndim != 1 or len(array) != rows:
        raise DimensionError(f"one id a row expected: {rows} ids, got an array of shape {array.shape}")
    if array.dtype.kind not in "iuO":
        raise InvalidIdError(f"ids must be integers or strings, got dtype {array.dtype}")
    return array
