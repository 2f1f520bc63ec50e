"""pqstore: a persistent, embedded, compressed vector index."""

from importlib.metadata import PackageNotFoundError, version

from pqstore.errors import *  # noqa: F403
from pqstore.errors import __all__ as _errors
from pqstore.index import Index, SearchResult
from pqstore.quantizer import OPQ, PQ, DistanceTable

try:
    __version__ = version("pqstore")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"

__all__ = ["OPQ", "PQ", "DistanceTable", "Index", "SearchResult", "__version__"]
__all__ += _errors
