"""Files of vectors as the verbs use them: whole, sampled, or as blocks with their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from pqstore.cli.inputs.ids import read_ids_of
from pqstore.errors import CorpusFileError, InvalidIdError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore.interop.corpus import Corpus

__all__ = ["VECTORS_HELP", "Vectors", "open_vectors", "read_all", "sample"]

VECTORS_HELP = (
    "a file of vectors (.npy .npz .fvecs .bvecs .ivecs .fbin .u8bin .i8bin .hdf5 .parquet .arrow), "
    "FILE:NAME for a part of it, a directory, a 'pattern*', or - for .npy on standard input"
)

Block: TypeAlias = "tuple[npt.NDArray[Any], npt.NDArray[np.int64] | list[str] | None]"

# Rows read at a time: often enough for a smooth progress bar.
_BLOCK_ROWS = 8192


class Vectors:
    """A corpus and the ids of its rows: from a file of their own, from the corpus, or none."""

    def __init__(self, corpus: Corpus, ids: npt.NDArray[np.int64] | list[str] | None) -> None:
        self.corpus = corpus
        self.ids = ids

    @property
    def n(self) -> int:
        """Number of rows."""
        return count_of(self.corpus)

    def id_type(self) -> Any:
        """ "str" or "int64"."""
        if self.ids is None:
            stored = self.corpus.id_blocks(_BLOCK_ROWS)
            first = None if stored is None else next(stored, None)
        else:
            first = self.ids
        return "str" if isinstance(first, list) else "int64"

    def blocks(self, skip: int = 0) -> Iterator[Block]:
        """Blocks of rows with their ids (None: no ids), from row `skip` on."""
        stored = self.corpus.id_blocks(_BLOCK_ROWS) if self.ids is None else None
        row = 0
        for block in self.corpus.blocks(_BLOCK_ROWS):
            ids = next(stored, None) if stored is not None else None
            if self.ids is not None:
                ids = self.ids[row : row + len(block)]
            elif stored is not None and (ids is None or len(ids) != len(block)):
                raise CorpusFileError(f"{self.corpus.name}: an id for each row expected, got fewer or more")
            cut = max(0, skip - row)
            row += len(block)
            if cut < len(block):
                yield block[cut:], None if ids is None else ids[cut:]

    def all_ids(self) -> npt.NDArray[Any] | list[str] | None:
        """The ids of all rows at once; None: there are none."""
        import numpy as np

        if self.ids is not None:
            return self.ids
        stored = self.corpus.id_blocks(_BLOCK_ROWS)
        if stored is None:
            return None
        parts = list(stored)
        if any(isinstance(part, list) for part in parts):
            if not all(isinstance(part, list) for part in parts):
                raise InvalidIdError(f"{self.corpus.name}: ids that are all strings or all whole numbers expected")
            return [name for part in parts for name in part]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def open_vectors(spec: str, ids: str | None = None) -> Vectors:
    """Vectors in files, and their ids from the file at `ids` if that is given.

    Raises:
        CorpusFileError, MissingDependencyError, OSError: the files cannot be read.
        DimensionError: not one id a row.
    """
    from pqstore.interop.corpus import open_corpus

    corpus = open_corpus(spec)
    return Vectors(corpus, read_ids_of(count_of(corpus), ids))


def read_all(spec: str) -> npt.NDArray[Any]:
    """All rows (n, D) of a file that is small, as one of queries."""
    import numpy as np

    from pqstore.interop.corpus import open_corpus

    corpus = open_corpus(spec)
    blocks = list(corpus.blocks(_BLOCK_ROWS))
    return np.concatenate(blocks) if blocks else np.empty((0, corpus.D), dtype=corpus.dtype)


def sample(corpus: Corpus, count: int, seed: int) -> npt.NDArray[Any]:
    """`count` rows drawn at random without replacement (all, if there are no more), in the order of the file.

    The file is read once, front to back, whatever its format.
    """
    import numpy as np

    n = count_of(corpus)
    if count >= n:
        chosen = np.arange(n)
    else:
        chosen = np.sort(np.random.default_rng(seed).choice(n, size=count, replace=False, shuffle=False))
    vectors = np.empty((len(chosen), corpus.D), dtype=corpus.dtype)
    row = taken = 0
    for block in corpus.blocks(_BLOCK_ROWS):
        stop = int(np.searchsorted(chosen, row + len(block)))
        vectors[taken:stop] = block[chosen[taken:stop] - row]
        row, taken = row + len(block), stop
        if taken == len(chosen):
            break
    return vectors


def count_of(corpus: Corpus) -> int:
    """The number of rows.

    Raises:
        CorpusFileError: the corpus does not know it.
    """
    if corpus.n is None:
        raise CorpusFileError(f"{corpus.name}: a source that knows its number of rows expected")
    return corpus.n
