"""A Faiss index, live or in a file, taken apart."""

from __future__ import annotations

from os import PathLike
from typing import Any

from pqstore.interop.faiss.contents import FaissContents
from pqstore.interop.faiss.file import read_contents
from pqstore.interop.faiss.live import contents_of

__all__ = ["open_index"]


def open_index(source: Any) -> FaissContents:
    """A Faiss index, live or in a file (str or path), taken apart. A file needs no Faiss.

    Raises:
        CorpusFileError: the file is damaged.
        UnsupportedIndexError: the type has no counterpart.
    """
    return read_contents(source) if isinstance(source, (str, PathLike)) else contents_of(source)
