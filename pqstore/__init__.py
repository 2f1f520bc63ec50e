"""pqstore: a persistent, embedded, compressed vector index."""

from importlib.metadata import PackageNotFoundError, version

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
    UnsupportedIndexError,
)
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

try:
    __version__ = version("pqstore")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"

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
    "UnsupportedIndexError",
    "__version__",
    "faiss_to_nanopq",
    "nanopq_to_faiss",
]
