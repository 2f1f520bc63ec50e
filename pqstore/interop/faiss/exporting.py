"""Rows of codes with their ids as a Faiss index, in memory or in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import InvalidIdError
from pqstore.interop.faiss.file import write_index
from pqstore.interop.faiss.live import FaissBuilder
from pqstore.quantizer import Quantizer

__all__ = ["export_rows"]


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
    strings: list[str] | _JsonLines | None = mapping
    lines: _JsonLines | None = None
    if path is not None and mapping is None:
        strings = lines = _JsonLines(Path(f"{os.fspath(path)}.ids.jsonl"))
    numbered = _numbered(blocks, strings)
    if path is None:
        builder = FaissBuilder(quantizer, with_ids=True)
        for ids, codes in numbered:
            builder.add(codes, ids)
        return builder.finish()
    try:
        write_index(path, quantizer, numbered)
        if lines is not None:
            lines.keep()
    finally:
        if lines is not None:
            lines.close()
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

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Any = None

    def extend(self, strings: Iterable[str]) -> None:
        import json  # noqa: PLC0415 # for string ids alone
        import tempfile  # noqa: PLC0415

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
