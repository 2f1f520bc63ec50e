"""pqstore: a persistent, embedded, compressed vector index."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pqstore import errors
from pqstore.errors import *  # noqa: F403 # every error, by the list of that file

if TYPE_CHECKING:  # what _ROOMS says, for readers that do not run it: a test holds the two together
    # isort: off
    from pqstore.index import (
        Calibration as Calibration,
        Filter as Filter,
        IdSet as IdSet,
        Index as Index,
        ListPlan as ListPlan,
        ListStats as ListStats,
        PartitionReport as PartitionReport,
        Payload as Payload,
        RangeResult as RangeResult,
        RecallReport as RecallReport,
        Record as Record,
        ScrollPage as ScrollPage,
        SearchHits as SearchHits,
        SearchPlan as SearchPlan,
        SearchResult as SearchResult,
    )
    from pqstore.interop.faiss import faiss_to_nanopq as faiss_to_nanopq, nanopq_to_faiss as nanopq_to_faiss
    from pqstore.progress import ProgressStep as ProgressStep
    from pqstore.quantizer import OPQ as OPQ, PQ as PQ, DistanceTable as DistanceTable
    # isort: on

__version__ = "0.1.0"

# Public names by the room where they live, besides the errors. Imported when first used: the command's help needs
# neither NumPy nor LMDB.
_ROOMS = {
    "pqstore.index": (
        "Calibration",
        "Filter",
        "IdSet",
        "Index",
        "ListPlan",
        "ListStats",
        "PartitionReport",
        "Payload",
        "RangeResult",
        "RecallReport",
        "Record",
        "ScrollPage",
        "SearchHits",
        "SearchPlan",
        "SearchResult",
    ),
    "pqstore.interop.faiss": ("faiss_to_nanopq", "nanopq_to_faiss"),
    "pqstore.progress": ("ProgressStep",),
    "pqstore.quantizer": ("OPQ", "PQ", "DistanceTable"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = {"interop", "kernels", "shards"}

__all__ = sorted([*errors.__all__, *_ROOM_OF, "__version__"])  # noqa: PLE0605 # made of the lists above


def __getattr__(name: str) -> Any:
    """A public name, from the room where it lives."""
    if name in _ROOM_OF:
        value = getattr(importlib.import_module(_ROOM_OF[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"pqstore.{name}")
    else:
        raise AttributeError(f"module 'pqstore' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
