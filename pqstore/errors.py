"""Every exception that a caller of pqstore can catch.

One base, `PQStoreError`. Where Python has a natural builtin for the same mistake, the class inherits from it
too, so that ``except KeyError`` and ``except ValueError`` keep working.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CorpusFileError",
    "CorruptIndexError",
    "DimensionError",
    "DocumentError",
    "DuplicateIdError",
    "FewQueriesWarning",
    "FilterKindWarning",
    "ForeignShardError",
    "ForkedIndexError",
    "FormatVersionError",
    "IndexAccessError",
    "IndexClosedError",
    "IndexExistsError",
    "IndexLockedError",
    "IndexNotFoundError",
    "IndexReplacedError",
    "InvalidCodeError",
    "InvalidFilterError",
    "InvalidIdError",
    "InvalidPathError",
    "InvalidPayloadError",
    "InvalidQuantizerError",
    "InvalidVectorError",
    "KernelError",
    "MissingDependencyError",
    "MissingKernelsWarning",
    "MissingShardError",
    "NetworkFileSystemError",
    "NoVectorError",
    "NotTrainedError",
    "PQStoreError",
    "PartialChangeError",
    "ReadOnlyError",
    "SameProcessIdError",
    "SilentShardError",
    "StorageFullError",
    "TooManyFilesError",
    "TrainingError",
    "UnknownIdError",
    "UnknownSetError",
    "UnlockedIndexWarning",
    "UnreadablePayloadWarning",
    "UnsupportedIndexError",
]


class PQStoreError(Exception):
    """Base of every error that pqstore raises on purpose."""


class NotTrainedError(PQStoreError, RuntimeError):
    """A quantizer was used before `fit` (or before its codewords were set)."""


class DimensionError(PQStoreError, ValueError):
    """An array has a shape that cannot be meant: wrong number of axes or wrong length of one."""


class TrainingError(PQStoreError, ValueError):
    """The vectors given to `fit` cannot train this quantizer: there are too few of them, or M does not divide D."""


class InvalidQuantizerError(PQStoreError, ValueError):
    """A quantizer's file, pickle or arrays are damaged or contradict each other; nothing of them was used."""


class CorpusFileError(PQStoreError, ValueError):
    """A file of vectors, or another library's index file, is damaged or cut short.

    The message names file, offset and expectation.
    """


class UnsupportedIndexError(PQStoreError, ValueError):
    """Another library's index has a type or a setting that pqstore has nothing for; or the other way round."""


class InvalidVectorError(PQStoreError, ValueError):
    """A vector holds NaN or infinity, or cannot be represented as float32."""


class InvalidCodeError(PQStoreError, ValueError):
    """A code names a codeword that the quantizer does not have, or is no whole number."""


class InvalidIdError(PQStoreError, ValueError, TypeError):
    """An id cannot be an id of this index: wrong type, out of range, empty or too long."""


class InvalidPathError(PQStoreError, ValueError):
    """A path that no file system could hold: empty, with a zero byte, or not valid Unicode."""


class InvalidPayloadError(PQStoreError, ValueError, TypeError):
    """A payload cannot be stored: not a map with str keys, a value that msgpack cannot carry, or too large."""


class InvalidFilterError(PQStoreError, ValueError):
    """A filter names an unknown operator or field, or compares what does not compare; the message names it."""


class FewQueriesWarning(UserWarning):
    """A calibration on so few queries may be far from what others reach; the message says how far."""


class FilterKindWarning(UserWarning):
    """A filter compares a field with a value of a kind that the field never has, and finds nothing by that.

    ``warnings.simplefilter("error", pqstore.FilterKindWarning)`` makes it an error.
    """


class DuplicateIdError(PQStoreError, ValueError):
    """An id is given twice in one batch, or is in the index already."""


class UnknownIdError(PQStoreError, KeyError):
    """An id is not in the index."""

    # KeyError shows the repr of its argument; a message reads better as it was written.
    __str__ = Exception.__str__


class UnreadablePayloadWarning(UserWarning):
    """A payload cannot be read, though its bytes are sound, and counts as none: an earlier version took what it could
    not give back. ``verify()`` names each."""


class NoVectorError(PQStoreError, ValueError):
    """A vector was asked for of an id that was added without one."""


class UnknownSetError(PQStoreError, KeyError):
    """No set of ids was saved under this name."""

    __str__ = Exception.__str__


class IndexNotFoundError(PQStoreError, FileNotFoundError):
    """There is no index at this path."""


class IndexExistsError(PQStoreError, FileExistsError):
    """`Index.create` found something at the path already."""


class IndexReplacedError(PQStoreError, RuntimeError):
    """The directory of an open index was moved, removed, or replaced by another index.

    The handle lets go of it, and every later call raises this too; snapshots that are open stay good. Open the index
    anew.
    """


class IndexAccessError(PQStoreError, PermissionError):
    """The system does not let this process read the index: permissions of its directory or files."""


class IndexClosedError(PQStoreError, RuntimeError):
    """The index, or the snapshot, was closed."""


class ForkedIndexError(PQStoreError, RuntimeError):
    """A handle that cannot cross `fork` (a snapshot, a running transaction) was used in the child process."""


class IndexLockedError(PQStoreError, TimeoutError):
    """Another writer held the index for longer than the timeout."""


class ReadOnlyError(PQStoreError, PermissionError):
    """A write was asked of an index opened with ``readonly=True``, or lying where nothing can be written."""


class StorageFullError(PQStoreError, OSError):
    """The disk, a file size limit or an address space limit left no room; the index is as before the call."""


class TooManyFilesError(PQStoreError, OSError):
    """The process, or the system, has as many files open as it may."""


class SameProcessIdError(PQStoreError, OSError):
    """A process of another container has the index open under the same process number.

    LMDB tells readers apart by these numbers; two that look the same would lose each other's snapshots.
    """


class FormatVersionError(PQStoreError, ValueError):
    """The index was written in a format that this version of pqstore does not read."""


class CorruptIndexError(PQStoreError, ValueError):
    """A record on disk fails its checksum or contradicts another; the message names the record."""


class KernelError(PQStoreError, RuntimeError):
    """The kernel asked for by ``PQSTORE_KERNEL`` is unknown or not available on this machine."""


class MissingDependencyError(PQStoreError, ImportError):
    """An optional library is needed; the message names the extra that brings it."""


class UnlockedIndexWarning(UserWarning):
    """An index was opened for reading where its lock file cannot be written: writers do not see this reader.

    Right where nobody writes; where somebody does, answers of this handle may be wrong. `stats().locked` tells.
    """


class MissingKernelsWarning(UserWarning):
    """pqstore was installed without its compiled module, and searches several times slower than it could.

    ``PQSTORE_KERNEL=numpy`` in the environment says that this is meant, and silences it; so does
    ``warnings.simplefilter("ignore", pqstore.MissingKernelsWarning)``.
    """


class DocumentError(PQStoreError, ValueError):
    """A plan, recipe or manifest of a collection is damaged, or says what cannot be; the message names the place."""


class ForeignShardError(PQStoreError, ValueError):
    """A shard belongs to another plan or collection, or has another quantizer: its distances could not be compared."""


class MissingShardError(PQStoreError, FileNotFoundError):
    """A collection lacks shards, or is not committed; the message names what is missing."""


class SilentShardError(PQStoreError, RuntimeError):
    """Shards did not answer a search over several machines; ``on_missing="partial"`` takes what the others answer."""


class NetworkFileSystemError(PQStoreError, OSError):
    """An index would be opened on a file system of a network, where its memory map and locks do not hold."""


class PartialChangeError(PQStoreError, RuntimeError):
    """A change that is stored in several parts failed when some of them were stored already; each part is stored as a
    whole or not at all.

    Of a collection `changed` and `unchanged` number the shards. Of a stream of record batches `added` has the ids of
    the batches that are stored, in their order. The error that ended it is ``__cause__``.
    """

    changed: tuple[int, ...] = ()
    unchanged: tuple[int, ...] = ()
    added: Any = None
