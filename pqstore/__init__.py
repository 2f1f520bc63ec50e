"""pqstore: a persistent, embedded, compressed vector index."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pqstore.errors import (
    CorpusFileError,
    CorruptIndexError,
    DimensionError,
    DuplicateIdError,
    ForkedIndexError,
    FormatVersionError,
    IndexClosedError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidCodeError,
    InvalidFilterError,
    InvalidIdError,
    InvalidPayloadError,
    InvalidQuantizerError,
    InvalidVectorError,
    KernelError,
    MissingDependencyError,
    NotTrainedError,
    PQStoreError,
    ReadOnlyError,
    StorageFullError,
    TrainingError,
    UnknownIdError,
    UnknownSetError,
    UnsupportedIndexError,
)

if TYPE_CHECKING:
    from pqstore.index import (
        Calibration,
        IdSet,
        Index,
        RangeResult,
        RecallReport,
        Record,
        ScrollPage,
        SearchHits,
        SearchPlan,
        SearchResult,
    )
    from pqstore.interop.faiss import faiss_to_nanopq, nanopq_to_faiss
    from pqstore.quantizer import OPQ, PQ, DistanceTable

    __version__: str

# Imported when first used: the command's help needs neither NumPy nor LMDB.
_HOMES = {
    "Calibration": "pqstore.index",
    "IdSet": "pqstore.index",
    "Index": "pqstore.index",
    "RangeResult": "pqstore.index",
    "RecallReport": "pqstore.index",
    "Record": "pqstore.index",
    "ScrollPage": "pqstore.index",
    "SearchHits": "pqstore.index",
    "SearchPlan": "pqstore.index",
    "SearchResult": "pqstore.index",
    "DistanceTable": "pqstore.quantizer",
    "OPQ": "pqstore.quantizer",
    "PQ": "pqstore.quantizer",
    "faiss_to_nanopq": "pqstore.interop.faiss",
    "nanopq_to_faiss": "pqstore.interop.faiss",
}
_MODULES = {"interop", "kernels"}


def __getattr__(name: str) -> Any:
    """A public name, from the room where it lives."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"pqstore.{name}")
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'pqstore' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 # reading metadata imports email

    try:
        return version("pqstore")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+source"


__all__ = [
    "OPQ",
    "PQ",
    "Calibration",
    "CorpusFileError",
    "CorruptIndexError",
    "DimensionError",
    "DistanceTable",
    "DuplicateIdError",
    "ForkedIndexError",
    "FormatVersionError",
    "IdSet",
    "Index",
    "IndexClosedError",
    "IndexExistsError",
    "IndexLockedError",
    "IndexNotFoundError",
    "InvalidCodeError",
    "InvalidFilterError",
    "InvalidIdError",
    "InvalidPayloadError",
    "InvalidQuantizerError",
    "InvalidVectorError",
    "KernelError",
    "MissingDependencyError",
    "NotTrainedError",
    "PQStoreError",
    "RangeResult",
    "ReadOnlyError",
    "RecallReport",
    "Record",
    "ScrollPage",
    "SearchHits",
    "SearchPlan",
    "SearchResult",
    "StorageFullError",
    "TrainingError",
    "UnknownIdError",
    "UnknownSetError",
    "UnsupportedIndexError",
    "__version__",
    "faiss_to_nanopq",
    "nanopq_to_faiss",
]
