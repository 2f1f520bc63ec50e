"""One training: a quantizer fitted to rows of an index, and what becomes of all of them then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64, U8
from pqstore.errors import TrainingError
from pqstore.index.code_error import mean_error
from pqstore.index.code_space import CodeSpace, Training
from pqstore.index.exact_space import ExactSpace
from pqstore.index.lists.partitioning import partition
from pqstore.index.reading import Reading
from pqstore.index.selection.searchable import count_searchable, spread_searchable
from pqstore.index.settings import features_of, packing_of, record_of, space_of
from pqstore.kernels import OriginalFormat, OriginalKind, resolve_threads
from pqstore.progress import Progress, ProgressStep
from pqstore.quantizer import OPQ, PQ, Metric, Quantizer
from pqstore.quantizer.progress import TrainingStep
from pqstore.storage import Rebuild, Resumption, Snapshot, SnapshotLists, Store

__all__ = ["ReadingOf", "TrainingWork"]

RERANK = 100
"""Candidates that searches re-rank by default in an index that has trained itself and keeps its vectors."""
_ROUNDS = 12
"""Of k-means: with 20 the error is half a per cent less, and as many of the nearest are found."""
_ERROR_ROWS = 1000
_BLOCK_ROWS = 4096
_BLOCK_BYTES, _PIECE_BYTES = 4 << 20, 2 << 20  # of vectors as float32
_COMMIT_BLOCKS, _COMMIT_ROWS = 12, 131_072
_SMALLEST = 2.0**-13  # below it float16 has fewer digits
_CALIBRATION = "calibration"

ReadingOf: TypeAlias = Callable[[Snapshot], Reading]


class TrainingWork:
    """What one call does: of a quantizer that is `wanted`, trained already or not, on at most `sample` rows, with
    vectors kept as `kind`."""

    def __init__(
        self,
        reading_of: ReadingOf,
        wanted: Quantizer,
        kind: OriginalKind | None,
        sample: int,
        threads: int | None,
        progress: Progress,
    ) -> None:
        self._reading_of = reading_of
        self._wanted = wanted
        self._kind = kind
        self._sample = sample
        self._threads = resolve_threads(threads)
        self._progress = progress

    @property
    def resumption(self) -> Resumption:
        """How another call with the same arguments goes on."""
        import hashlib  # noqa: PLC0415 - 3 ms, where nothing is trained

        settings, arrays = self._wanted.state()
        content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
        asked = {
            "quantizer": dict(settings),
            "arrays": hashlib.sha256(content).hexdigest(),
            "originals": self._kind,
            "sample": self._sample,
        }
        return Resumption(asked, self._plan_again)

    def plan(self, begun: Snapshot) -> Rebuild:
        """Train on the rows of a state, for all of them.

        Raises:
            TrainingError: there are too few rows, or their values are too large for codes.
        """
        reading = self._reading_of(begun)
        old, kind = reading.space, _wide_enough(reading, self._kind)
        space = CodeSpace(self._trained(reading), old.metric, originals=kind)
        began_exact = isinstance(old, ExactSpace) or (old.training is not None and old.training.rerank > 0)
        rerank = RERANK if began_exact and kind is not None else 0
        mode = old.wish.retrain if isinstance(old, ExactSpace) else old.training.retrain if old.training else "manual"
        some = reading.vectors_of(spread_searchable(reading, _ERROR_ROWS))
        if space.originals is not None:  # as they will be when drift is looked for
            some = space.originals.decode(space.originals.encode(some))
        space.training = Training(count_searchable(reading), mean_error(space, some, self._threads), rerank, mode)
        return self._rebuild(old, space)

    def _plan_again(
        self, begun: Snapshot, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Rebuild:
        """With what somebody has trained who did not come to the end.

        Raises:
            CorruptIndexError: settings and arrays are none of a space.
        """
        return self._rebuild(self._reading_of(begun).space, space_of(settings, arrays, begun.records.generation.index))

    def _trained(self, reading: Reading) -> Quantizer:
        """A trained copy of what is wanted: as it is where it is trained, else fitted to a sample of the rows."""
        made = Quantizer.from_state(*self._wanted.state()).with_metric(reading.space.metric)
        if made.is_trained:
            return made
        made.verbose = False
        rows = spread_searchable(reading, max(self._sample, made.Ks))
        if len(rows) < made.Ks:
            raise TrainingError(
                f"the index at {reading.snapshot.records.generation.index} has {len(rows)} vectors, and {made.Ks} "
                f"codewords need as many at least: add more, or train a quantizer with fewer codewords"
            )
        vectors = reading.vectors_of(rows)
        _refuse_large(vectors, made.metric)
        if isinstance(made, OPQ):  # from the principal axes one round is nearly as good as ten
            return made.fit(vectors, True, _ROUNDS, 2, threads=self._threads, progress=self._told)
        assert isinstance(made, PQ)
        return made.fit(vectors, _ROUNDS, threads=self._threads, progress=self._told)

    def _told(self, step: TrainingStep) -> None:
        self._progress(ProgressStep(step.stage, step.done, step.total))

    def _rebuild(self, old: CodeSpace | ExactSpace, space: CodeSpace) -> Rebuild:
        settings, arrays = record_of(space)
        kind = None if space.originals is None else space.originals.kind
        block = max(1024, min(65_536, _BLOCK_BYTES // (4 * space.D)))

        def convert(snapshot: Snapshot, rows: I64) -> tuple[Any, U8 | None]:
            if old.originals is not None and old.original_kind == kind:  # rounded once, and not again
                originals = snapshot.originals_of(rows)
                return _encoded(space, old.originals, originals, self._threads), originals
            block = space.prepare(self._reading_of(snapshot).vectors_of(rows), self._threads)
            return block.codes, block.originals

        def arrange(place: Path, source: Snapshot) -> None:
            _make_lists(place, source, space, self._threads, self._progress)

        return Rebuild(
            settings=settings,
            arrays=arrays,
            packing=space.packing,
            row_bytes=0 if space.originals is None else space.originals.row_bytes,
            features=features_of(space),
            convert=convert,
            dropped_notes=(_CALIBRATION,),
            block_rows=block,
            commit_blocks=max(1, min(_COMMIT_BLOCKS, _COMMIT_ROWS // block)),
            ahead=self._threads > 1,
            arrange=arrange,
        )


def _refuse_large(vectors: F32, metric: Metric) -> None:
    """Distances by codes are float32, those of exact searches are not: what works must not cease to by training.

    Raises:
        TrainingError: distances between such vectors would overflow.
    """
    if metric == "cosine" or not len(vectors):
        return
    most, D = float(np.finfo(np.float32).max) / 4, vectors.shape[1]
    if D * max(float(vectors.max()), -float(vectors.min())) ** 2 <= most:
        return
    longest = np.sqrt(max(float(np.square(vector, dtype=np.float64).sum()) for vector in vectors))
    if longest**2 > most:
        raise TrainingError(
            f"vectors of a length up to {longest:.2g} cannot be searched by codes, as their squared distances are "
            "beyond float32: scale them; exact searches go on"
        )


def _encoded(space: CodeSpace, kept: OriginalFormat, originals: U8, threads: int) -> Any:
    """The codes of vectors as they are kept; few at a time, for which memory is at hand."""
    step = max(256, _PIECE_BYTES // (4 * space.D))
    pieces = (originals[start : start + step] for start in range(0, len(originals), step))
    return np.concatenate([space.encode(kept.decode(piece), threads) for piece in pieces])


def _make_lists(place: Path, source: Snapshot, space: CodeSpace, threads: int, progress: Progress) -> None:
    """Inverted lists of the rows in a place, where the state that they are of has some: as many, if there are rows for
    so many."""
    lists = SnapshotLists(source).read()
    with Store.open(place, packing_of) as store:
        with store.read() as there:
            made, rows = SnapshotLists(there).read(), there.live_rows
        if lists is None or rows == 0:
            if made is not None:
                partition(store, space, None, None, threads, None)
            return
        wanted = lists.lists.partitions if lists.lists.partitions <= rows else "auto"
        if made is None or wanted not in ("auto", made.lists.partitions):
            partition(store, space, wanted, None, threads, None, progress)


def _wide_enough(reading: Reading, kind: OriginalKind | None) -> OriginalKind | None:
    """float16 where all values fit it, and no vector is so small that it would lose more than other ones; else
    float32."""
    if kind != "float16" or isinstance(reading.space, CodeSpace):
        return kind
    for rows in reading.snapshot.rows.live_blocks(_BLOCK_ROWS):
        largest = np.abs(reading.vectors_of(rows)).max(axis=1)
        if ((largest > np.finfo(np.float16).max) | ((largest < _SMALLEST) & (largest > 0))).any():
            return "float32"
    return kind
