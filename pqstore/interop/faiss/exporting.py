"""Rows of codes with their ids as a Faiss index, in memory or in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import InvalidIdError
from pqstore.interop.faiss.file import write_index
from pqstore.interop.faiss.live import FaissBuilder
from pqstore.interop.faiss.partitioned import lists_index, write_lists
from pqstore.paths import as_path
from pqstore.quantizer import Quantizer
from pqstore.whole_file import whole_file

__all__ = ["export_lists", "export_rows"]


def export_rows(
    quantizer: Quantizer,
    blocks: Iterable[tuple[Any, npt.NDArray[Any]]],
    path: str | PathLike[str] | None = None,
    mapping: list[str] | None = None,
) -> Any:
    """Rows as a Faiss IndexIDMap2 around an IndexPQ, in an IndexPreTransform if vectors are turned first.

    Faiss has no string ids: rows under strings are numbered, and the string of number i becomes ``mapping[i]``, and
    line i, as JSON, of the file ``<path>.ids.jsonl``.

    Args:
        quantizer: with the metric to search by.
        blocks: (ids (n,), codes (n, M)), taken one by one.
        path: where to write an index file (without Faiss, in bounded memory); None builds it in memory.
        mapping: an empty list to be filled with string ids.

    Returns:
        The Faiss index; None if `path` is given.

    Raises:
        MissingDependencyError: `path` is None and Faiss is not installed.
        InvalidIdError: string ids, and neither `path` nor `mapping` to put them.
        UnsupportedIndexError: Ks beyond 65,536.
    """
    if path is None:
        builder = FaissBuilder(quantizer, with_ids=True)
        for ids, codes in _numbered(blocks, mapping):
            builder.add(codes, ids)
        return builder.finish()
    with ExitStack() as files:
        strings = _JsonLines(files, as_path(f"{os.fspath(path)}.ids.jsonl")) if mapping is None else mapping
        write_index(path, quantizer, _numbered(blocks, strings))
    return None


def export_lists(
    quantizer: Quantizer,
    centroids: F32,
    sizes: I64,
    lists: Iterable[tuple[Any, npt.NDArray[Any]]],
    path: str | PathLike[str] | None = None,
    mapping: list[str] | None = None,
) -> Any:
    """Rows in inverted lists as an IndexIVFPQ; see `pqstore.interop.faiss.partitioned`, and `export_rows` for ids."""
    if path is None:
        return lists_index(quantizer, centroids, sizes, _numbered(lists, mapping))
    with ExitStack() as files:
        strings = _JsonLines(files, as_path(f"{os.fspath(path)}.ids.jsonl")) if mapping is None else mapping
        write_lists(path, quantizer, centroids, sizes, _numbered(lists, strings))
    return None


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

    def __init__(self, files: ExitStack, path: Path) -> None:
        self._files = files
        self._path = path
        self._stream: BinaryIO | None = None

    def extend(self, strings: Iterable[str]) -> None:
        import json  # noqa: PLC0415 # for string ids alone

        if self._stream is None:
            self._stream = self._files.enter_context(whole_file(self._path))
        self._stream.writelines(json.dumps(str(text)).encode() + b"\n" for text in strings)
