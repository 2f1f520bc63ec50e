"""One quantizer for all shards: trained once, on rows from all pieces, and stored under the name of its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import DimensionError, PQStoreError
from pqstore.index.arguments.counts import as_count
from pqstore.index.settings import as_fields, as_original_kind
from pqstore.interop.corpus import Corpus
from pqstore.kernels import OriginalKind, resolve_threads
from pqstore.quantizer import OPQ, PQ, ROWS_PER_CODEWORD, Progress, Quantizer
from pqstore.quantizer.choice import choose_quantizer
from pqstore.quantizer.partitions import MAX_PARTITIONS, ROWS_PER_PARTITION, train_partitions
from pqstore.shards.place import Place
from pqstore.shards.recipe import Recipe, hash_of, hash_of_centroids, read_recipe, write_recipe
from pqstore.shards.shard_plan import Piece, Plan
from pqstore.shards.source import open_file, open_piece
from pqstore.whole_file import whole_file

__all__ = ["sample", "train"]

_SEED = 123
_FEW = 8  # of so many rows one is few


def train(
    plan: Plan,
    quantizer: Quantizer | None,
    destination: Any,
    *,
    originals: OriginalKind | None = None,
    fields: Iterable[str] = (),
    partitions: int | None = None,
    sample_rows: int | None = None,
    seed: int = _SEED,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Recipe:
    """Train the one quantizer of all shards on a sample from all pieces, and store it with the plan in the directory of
    the collection, which is made. Called again with the same arguments it returns what is there.

    Args:
        plan: What `plan` made.
        quantizer: A `PQ` or `OPQ`; one that is trained is taken as it is. None: a `PQ` as an index would choose.
        destination: The directory of the collection.
        originals: Also keep the vectors themselves: "float32", "float16", "int8" or None; as for `Index.create`.
        fields: Payload fields that get an index.
        partitions: Inverted lists that each shard gets, around the same centroids, which are trained here too; None:
            none, and every search reads all codes.
        sample_rows: How many rows to train on; None: 256 for each codeword.
        seed: Of the sample and of the training.
        threads: Threads to train with; None means all cores.
        progress: Called with the steps of the training.

    Returns:
        The `Recipe` by which shards are built.

    Raises:
        PQStoreError: another plan or recipe is at the destination.
        TrainingError: there are fewer rows than codewords, or M does not divide their dimension.
        DimensionError: a trained quantizer is of another dimension than the plan.
        CorpusFileError: files have changed since the plan was made, or are damaged.
    """
    place = Place(destination)
    chosen = _as_quantizer(plan, quantizer)
    kind, lists = as_original_kind(originals), None if partitions is None else as_count(partitions, "partitions")
    recipe = Recipe(plan.hash, "", chosen.metric, kind, as_fields(fields), lists, None, 0)
    known = _known(place, plan)
    if known is not None:
        same = replace(known, quantizer="", centroids=None, trained_on=0) == recipe
        if not same or (chosen.is_trained and hash_of(chosen) != known.quantizer):
            raise PQStoreError(f"{place.directory} has another recipe than this: take another directory, or remove it")
        return known
    if not chosen.is_trained:
        rows = ROWS_PER_CODEWORD * chosen.Ks if sample_rows is None else as_count(sample_rows, "sample_rows")
        vectors = sample(plan, rows, seed)
        chosen.fit(vectors, seed=seed, threads=threads, progress=progress)
        recipe = replace(recipe, trained_on=len(vectors))
    centroids = None if lists is None else _trained_centroids(plan, chosen, lists, seed, resolve_threads(threads))
    place.directory.mkdir(parents=True, exist_ok=True)
    recipe = replace(recipe, quantizer=hash_of(chosen))
    if centroids is not None:
        recipe = replace(recipe, centroids=hash_of_centroids(centroids))
        with whole_file(place.centroids(str(recipe.centroids))) as stream:
            stream.write(np.ascontiguousarray(centroids, dtype="<f4").tobytes())
    chosen.save(place.quantizer(recipe.quantizer))
    plan.save(place.plan)
    write_recipe(place, recipe)
    return recipe


def _trained_centroids(plan: Plan, quantizer: Quantizer, partitions: int, seed: int, threads: int) -> F32:
    """Centroids of lists, float32 (P, D) in the space of the codewords, from what the codes of a sample stand for.

    Raises:
        TrainingError: there are fewer rows than partitions. ValueError: there are too many partitions.
    """
    if partitions > MAX_PARTITIONS:
        raise ValueError(f"partitions must be at most {MAX_PARTITIONS:,}, got {partitions:,}")
    codes = quantizer.encode(sample(plan, ROWS_PER_PARTITION * partitions, seed + 1), threads=threads)
    codewords = quantizer.codewords
    assert codewords is not None

    def vectors_at(rows: I64) -> F32:
        return np.concatenate([codewords[m][codes[rows, m]] for m in range(quantizer.M)], axis=1)

    return train_partitions(vectors_at, len(codes), partitions, seed=seed, threads=threads).centroids


def sample(plan: Plan, rows: int, seed: int = _SEED) -> npt.NDArray[Any]:
    """`rows` rows of the plan drawn at random without replacement (all, if there are no more), in their order: (n, D).

    Each piece gives its share. Little of it is read: of row groups, a few that are drawn for it.

    Raises:
        CorpusFileError: as `open_piece`.
    """
    total = plan.rows
    open_piece(plan, plan.shards[0].pieces[0])  # whose dimension is compared, before room is made for many rows of it
    rng = np.random.default_rng(seed)
    if rows >= total:
        chosen: I64 = np.arange(total)
    else:
        chosen = np.sort(rng.choice(total, size=rows, replace=False, shuffle=False))
    vectors = np.empty((len(chosen), plan.D), dtype=plan.dtype)
    row = taken = 0
    for shard in plan.shards:
        for piece in shard.pieces:
            stop = int(np.searchsorted(chosen, row + piece.rows))
            if stop > taken:
                _fill(plan, piece, vectors[taken:stop], chosen[taken:stop] - row, rng)
            row, taken = row + piece.rows, stop
    return vectors


def _fill(plan: Plan, piece: Piece, room: npt.NDArray[Any], rows: I64, rng: np.random.Generator) -> None:
    """The rows of a piece, ascending, into an array; of row groups others of the same number, where they are few."""
    part, units = open_piece(plan, piece), open_file(plan, piece.file).units()
    if len(rows) * _FEW > piece.rows:
        _scan(part, room, rows)
    elif units is None:
        for at, row in enumerate(rows.tolist()):
            room[at] = part.read(row, 1)[0]
    else:
        _fill_from_some(plan, piece, room, np.asarray(units[piece.start : piece.stop]), rng)


def _fill_from_some(plan: Plan, piece: Piece, room: npt.NDArray[Any], units: I64, rng: np.random.Generator) -> None:
    """Rows of so many row groups of a piece that each row that is taken stands for some others that are read."""
    corpus = open_file(plan, piece.file)
    order = rng.permutation(len(units))
    count = int(np.searchsorted(np.cumsum(units[order]), min(piece.rows, len(room) * _FEW))) + 1
    some = np.sort(order[:count])
    rows = np.sort(rng.choice(int(units[some].sum()), size=len(room), replace=False, shuffle=False))
    first = taken = 0
    for unit in some.tolist():
        stop = int(np.searchsorted(rows, first + units[unit]))
        if stop > taken:
            start = piece.start + unit
            _scan(corpus.part(start, start + 1), room[taken:stop], rows[taken:stop] - first)
        first, taken = first + int(units[unit]), stop


def _scan(corpus: Corpus, room: npt.NDArray[Any], rows: I64) -> None:
    """Rows, ascending, of a corpus that is read up to the last of them."""
    first = taken = 0
    for block in corpus.blocks():
        stop = int(np.searchsorted(rows, first + len(block)))
        room[taken:stop] = block[rows[taken:stop] - first]
        first, taken = first + len(block), stop
        if taken == len(rows):
            return


def _as_quantizer(plan: Plan, quantizer: Quantizer | None) -> PQ | OPQ:
    """The quantizer to train, or a trained one that fits the plan."""
    if quantizer is None:
        return choose_quantizer(plan.D, plan.metric or "l2")  # type: ignore[arg-type] # one of those, as plans are checked
    if not isinstance(quantizer, (PQ, OPQ)):
        raise TypeError(f"quantizer must be a PQ or an OPQ, got {type(quantizer).__name__}")
    if quantizer.is_trained and quantizer.D != plan.D:
        raise DimensionError(f"the quantizer is trained for D = {quantizer.D}, the vectors of the plan have {plan.D}")
    if not quantizer.is_trained:
        return type(quantizer)(quantizer.M, quantizer.Ks, quantizer.metric, verbose=False)
    return quantizer


def _known(place: Place, plan: Plan) -> Recipe | None:
    """What was trained here before."""
    if not place.recipe.exists():
        if place.plan.exists() and Plan.load(place.plan).hash != plan.hash:
            raise PQStoreError(f"{place.directory} has another plan: take another directory, or remove it")
        return None
    return read_recipe(place)
