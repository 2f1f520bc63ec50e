"""The files that a plan names: their pieces as vectors, ids and payloads; whether they are still what they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus import NO_COLUMN, Corpus, Ids, Payloads, Wanted, open_corpus
from pqstore.shards.documents import digest
from pqstore.shards.shard_plan import Piece, Plan, PlannedShard

__all__ = ["Block", "blocks_of", "fingerprint", "open_file", "open_piece"]

_ENDS = 64 << 10  # bytes of the beginning and of the end that tell one file from another
_BLOCK_BYTES = 4 << 20


class Block(NamedTuple):
    """Some rows, with all that they bring along."""

    vectors: npt.NDArray[Any]
    ids: Ids | None
    payloads: Payloads | None


def fingerprint(path: Path) -> str:
    """What tells a file from what may take its place: a hash of its size, its first and its last bytes."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        first = stream.read(_ENDS)
        stream.seek(max(0, size - _ENDS))
        return digest(size.to_bytes(8, "little"), first, stream.read(_ENDS))


def open_file(plan: Plan, number: int) -> Corpus:
    """A file of the plan, which is still as it was.

    Raises:
        CorpusFileError: it has changed since, or is damaged.
        FileNotFoundError: it is not there.
    """
    said = plan.files[number]
    path = Path(plan.root, said.path)
    try:
        found = path.stat()
        is_same = S_ISREG(found.st_mode) and found.st_size == said.bytes and fingerprint(path) == said.fingerprint
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorpusFileError(f"{path} cannot be read: {error}") from error
    if not is_same:
        raise CorpusFileError(f"{path} has changed since the plan was made: plan again")
    return open_source(path, plan.member, wanted_of(plan))


def open_source(path: Path, member: str | None, wanted: Wanted) -> Corpus:
    """A file of vectors by its path and the name of the part that is meant."""
    return open_corpus(str(path) if member is None else f"{path}:{member}", wanted)


def wanted_of(plan: Plan) -> Wanted:
    """Which parts of its files a plan takes."""
    return Wanted(
        id_column=plan.id_column or NO_COLUMN, skip_nulls=plan.skip_nulls, payload_columns=plan.payload_columns
    )


def open_piece(plan: Plan, piece: Piece) -> Corpus:
    """The rows of a piece.

    Raises:
        CorpusFileError: there are not as many as the plan says; as `open_file`.
    """
    part = open_file(plan, piece.file).part(piece.start, piece.stop)
    if part.n != piece.rows or part.D != plan.D:
        raise CorpusFileError(
            f"{part.name}: {piece.rows} rows of dimension {plan.D} expected, as planned, got {part.n} of {part.D}"
        )
    return part


def blocks_of(plan: Plan, shard: PlannedShard, skip: int = 0) -> Iterator[Block]:
    """The rows of a shard in their order, in blocks of some MiB; without the first `skip`.

    Raises:
        CorpusFileError: as `open_piece`; or there is not an id, or payload, for each row.
    """
    number = shard.first_id
    first = number + skip
    for piece in shard.pieces:
        if number + piece.rows <= first:
            number += piece.rows
            continue
        for block in _blocks_of_piece(plan, open_piece(plan, piece), number):
            cut = max(0, first - number)
            number += len(block.vectors)
            if cut < len(block.vectors):
                yield block if cut == 0 else _without(block, cut)


def _without(block: Block, rows: int) -> Block:
    ids = None if block.ids is None else block.ids[rows:]
    return Block(block.vectors[rows:], ids, None if block.payloads is None else block.payloads[rows:])


def _blocks_of_piece(plan: Plan, corpus: Corpus, number: int) -> Iterator[Block]:
    rows = max(1, _BLOCK_BYTES // (corpus.D * corpus.dtype.itemsize))
    ids = corpus.id_blocks(rows) if plan.id_column is not None else None
    payloads = corpus.payload_blocks(rows)
    for vectors in corpus.blocks(rows):
        count = len(vectors)
        mine: Any = next(ids, None) if ids is not None else np.arange(number, number + count)
        brought = next(payloads, None) if payloads is not None else None
        if mine is None or len(mine) != count or (payloads is not None and len(brought or ()) != count):
            raise CorpusFileError(f"{corpus.name}: an id and a payload for each row expected, got fewer or more")
        yield Block(vectors, mine, brought)
        number += count
