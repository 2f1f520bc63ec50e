"""How a question has rows ranked: so many by codes, and the best of those by originals where it re-ranks."""

from __future__ import annotations

from typing import Any, NamedTuple

from pqstore.arrays import F32, I64
from pqstore.index.reading import Reading
from pqstore.index.search.calibration import effort_for
from pqstore.index.search.nearest import nearest_rows
from pqstore.index.search.probe import Probe, as_probe
from pqstore.index.search.question import Question, as_rerank
from pqstore.index.search.rerank import Reranker
from pqstore.index.selection.selection import Selection

__all__ = ["Ranking", "ranking_of"]


class Ranking(NamedTuple):
    """See `ranking_of`."""

    reading: Reading
    threads: int
    candidates: int | None
    """None: codes alone."""
    depth: int
    """How many are ranked by codes, where they are re-ranked."""
    nprobe: Any
    scan: Any
    usual: int | None
    """Rows of lists that are read where nobody says how many."""

    def best(self, queries: F32, k: int, selection: Selection | None) -> tuple[F32, I64, Probe | None]:
        """The k nearest rows of a selection, (n, k), and what was read of lists for them."""
        depth = self.places(k)
        probe = self.probe(k, selection)
        distances, rows = nearest_rows(self.reading, queries, depth, self.threads, selection, probe)
        if self.candidates is not None:
            distances, rows = Reranker(self.reading, queries, self.threads).best(rows, k)
        return distances, rows, probe

    def places(self, k: int) -> int:
        """How many rows are found by codes for the k nearest."""
        return k if self.candidates is None else max(k, self.depth)

    def probe(self, k: int, selection: Selection | None) -> Probe | None:
        """What is read of lists for the k nearest; None: all rows."""
        return as_probe(self.reading, self.nprobe, self.scan, self.places(k), selection, self.usual)


def ranking_of(reading: Reading, question: Question, k: int, threads: int) -> Ranking:
    """That of a question about the k nearest.

    Raises:
        TypeError, ValueError: `rerank` or `recall` cannot be meant, or asks for what the index does not have.
    """
    rerank, usual, candidates, depth = question.rerank, None, None, k
    if question.recall is not None:
        if rerank is not None or question.nprobe is not None or question.scan is not None:
            raise ValueError("recall says how much is read and re-ranked: leave out rerank, nprobe and scan")
        rerank, usual = effort_for(reading, question.recall, k)
    if rerank is not None or reading.space.training is not None:
        candidates = as_rerank(reading, rerank, k)
    if candidates is not None:
        depth = min(candidates, max(k, reading.snapshot.live_rows))  # there are no more
    return Ranking(reading, threads, candidates, depth, question.nprobe, question.scan, usual)
