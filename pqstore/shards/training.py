"""One quantizer for all shards: trained once, on rows from all pieces, and stored under the name of its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64
from pqstore.errors import DimensionError, PQStoreError
from pqstore.index.arguments.counts import as_count
from pqstore.index.settings import as_fields, as_original_kind
from pqstore.kernels import OriginalKind
from pqstore.quantizer import OPQ, PQ, ROWS_PER_CODEWORD, Progress, Quantizer
from pqstore.quantizer.choice import choose_quantizer
from pqstore.shards.place import Place
from pqstore.shards.recipe import Recipe, hash_of, read_recipe, write_recipe
from pqstore.shards.shard_plan import Plan
from pqstore.shards.source import open_piece

__all__ = ["sample", "train"]

_SEED = 123


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
        partitions: Inverted lists that each shard gets; None: none, and every search reads all codes.
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
    recipe = Recipe(plan.hash, "", chosen.metric, kind, as_fields(fields), lists, 0)
    known = _known(place, plan)
    if known is not None:
        same = replace(known, quantizer="", trained_on=0) == recipe
        if not same or (chosen.is_trained and hash_of(chosen) != known.quantizer):
            raise PQStoreError(f"{place.directory} has another recipe than this: take another directory, or remove it")
        return known
    if not chosen.is_trained:
        rows = ROWS_PER_CODEWORD * chosen.Ks if sample_rows is None else as_count(sample_rows, "sample_rows")
        vectors = sample(plan, rows, seed)
        chosen.fit(vectors, seed=seed, threads=threads, progress=progress)
        recipe = replace(recipe, trained_on=len(vectors))
    place.directory.mkdir(parents=True, exist_ok=True)
    recipe = replace(recipe, quantizer=hash_of(chosen))
    chosen.save(place.quantizer(recipe.quantizer))
    plan.save(place.plan)
    write_recipe(place, recipe)
    return recipe


def sample(plan: Plan, rows: int, seed: int = _SEED) -> npt.NDArray[Any]:
    """`rows` rows of the plan drawn at random without replacement (all, if there are no more), in their order: (n, D).

    Each piece is read by itself, once, and no further than its last row that is wanted.

    Raises:
        CorpusFileError: as `open_piece`.
    """
    total = plan.rows
    if rows >= total:
        chosen: I64 = np.arange(total)
    else:
        chosen = np.sort(np.random.default_rng(seed).choice(total, size=rows, replace=False, shuffle=False))
    vectors = np.empty((len(chosen), plan.D), dtype=plan.dtype)
    row = taken = 0
    for shard in plan.shards:
        for piece in shard.pieces:
            stop = int(np.searchsorted(chosen, row + piece.rows))
            if stop > taken:
                _fill(plan, piece, vectors[taken:stop], chosen[taken:stop] - row)
            row, taken = row + piece.rows, stop
    return vectors


def _fill(plan: Plan, piece: Any, room: npt.NDArray[Any], rows: I64) -> None:
    """The rows of a piece, ascending, into an array."""
    first = taken = 0
    for block in open_piece(plan, piece).blocks():
        stop = int(np.searchsorted(rows, first + len(block)))
        room[taken:stop] = block[rows[taken:stop] - first]
        first, taken = first + len(block), stop
        if taken == len(rows):
            return


def _as_quantizer(plan: Plan, quantizer: Quantizer | None) -> PQ | OPQ:
    """The quantizer to train, or a trained one that fits the plan."""
    if quantizer is None:
        return choose_quantizer(plan.D, plan.metric or "l2")  # type: ignore[arg-type] # the schema of plans holds it
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
