"""Files of vectors as the verbs use them: whole, sampled, or as blocks with their ids and payloads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from pqstore.cli.inputs.ids import of_type, read_ids_of, refuse_repeated
from pqstore.cli.inputs.payloads import check_payloads, read_payloads
from pqstore.errors import CorpusFileError, InvalidIdError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore.cli.report import Report
    from pqstore.interop.corpus import Corpus, Wanted

__all__ = ["VECTORS_HELP", "Vectors", "count_of", "open_for", "open_vectors", "read_all", "sample"]

VECTORS_HELP = (
    "a file of vectors (.npy .npz .fvecs .bvecs .ivecs .fbin .u8bin .i8bin .hdf5 .parquet .arrow), "
    "FILE:NAME for a part of it, a directory, a 'pattern*', or - for .npy on standard input"
)

Block: TypeAlias = "tuple[npt.NDArray[Any], npt.NDArray[np.int64] | list[str] | None]"

# Rows read at a time: often enough for a smooth progress bar.
_BLOCK_ROWS = 8192


class Vectors:
    """A corpus, with the ids and payloads of its rows: from files of their own, from the corpus, or none."""

    def __init__(self, corpus: Corpus, ids: Any, payloads: str | None, id_type: str | None, report: Report) -> None:
        self.corpus = corpus
        self.ids = ids
        self._payloads = payloads
        self._id_type = id_type
        self._report = report
        self._has_told = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return count_of(self.corpus)

    def id_type(self) -> Any:
        """ "str" or "int64"."""
        if self._id_type is not None:
            return self._id_type
        first = self.ids if self.ids is not None else next(self._stored_ids() or iter(()), None)
        return "str" if isinstance(first, list) else "int64"

    def blocks(self, skip: int = 0) -> Iterator[Block]:
        """Blocks of rows with their ids (None: no ids), from row `skip` on."""
        stored = self._stored_ids() if self.ids is None else None
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

    def payloads(self, skip: int = 0) -> Iterator[dict[str, Any] | None] | None:
        """The payloads of the rows from `skip` on; None: there are none at all."""
        if self._payloads is not None:
            return read_payloads(self._payloads, skip)
        blocks = self.corpus.payload_blocks(_BLOCK_ROWS)
        return None if blocks is None else islice(chain.from_iterable(blocks), skip, None)

    def all_ids(self) -> npt.NDArray[Any] | list[str] | None:
        """The ids of all rows at once; None: there are none."""
        import numpy as np

        if self.ids is not None:
            return self.ids
        stored = self._stored_ids()
        if stored is None:
            return None
        parts = list(stored)
        if any(isinstance(part, list) for part in parts):
            if not all(isinstance(part, list) for part in parts):
                raise InvalidIdError(f"{self.corpus.name}: ids that are all strings or all whole numbers expected")
            return [name for part in parts for name in part]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def refuse_repeated_ids(self) -> None:
        """Raise `DuplicateIdError` when an id is given twice, before any work is done."""
        if self.ids is not None:
            refuse_repeated(lambda: iter([self.ids]), "the file of ids")
        else:
            refuse_repeated(self._stored_ids, self.corpus.name, ": name another column with --id-column, or none")

    def _stored_ids(self) -> Iterator[Any] | None:
        """Those that the corpus holds, as ids of the type that is asked for."""
        blocks = self.corpus.id_blocks(_BLOCK_ROWS)
        return None if blocks is None else (of_type(b, self._id_type, self.corpus.name, self._tell) for b in blocks)

    def _tell(self, line: str) -> None:
        """Once, not with each block."""
        if not self._has_told:
            self._report.note(line)
        self._has_told = True


def open_vectors(
    spec: str,
    report: Report,
    wanted: Wanted | None = None,
    *,
    ids: str | None = None,
    payloads: str | None = None,
    id_type: str | None = None,
) -> Vectors:
    """Vectors in files, with the ids in the file `ids` and the payloads in the file `payloads`, if those are given.

    Args:
        id_type: "int64" or "str"; None: as the ids themselves say.

    Raises:
        CorpusFileError, MissingDependencyError, OSError: the files cannot be read.
        DimensionError: not one id, or payload, a row.
    """
    corpus = open_for(spec, report, wanted)
    rows = count_of(corpus)
    if payloads is not None:
        check_payloads(payloads, rows)
    return Vectors(corpus, read_ids_of(rows, ids, id_type, report), payloads, id_type, report)


def open_for(spec: str, report: Report, wanted: Wanted | None = None) -> Corpus:
    """A corpus; how its files were understood is told."""
    from pqstore.interop.corpus import VECTORS, open_corpus

    corpus = open_corpus(spec, wanted or VECTORS)
    for remark in corpus.remarks:
        report.note(remark)
    return corpus


def read_all(corpus: Corpus) -> npt.NDArray[Any]:
    """All rows (n, D) of a file that is small, as one of queries."""
    import numpy as np

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
