"""A collection of sentences: their vectors in a pqstore index, their words in SQLite, one directory for both."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pqstore

from . import embed as model

VECTORS, WORDS = "vectors.pqs", "words.sqlite"


@dataclass(frozen=True, slots=True)
class Hit:
    """A sentence that was found; `similarity` estimates the cosine of the angle: 1 is the same direction."""

    id: str
    text: str
    similarity: float


class Collection:
    """Sentences to be added, searched and removed; any number of processes may have it open.

    Index and SQLite commit one after the other. A crash between the two can leave a vector without its words, which
    `search` passes over, or words without a vector, which nothing finds. Adding the sentence again mends both.
    """

    def __init__(self, directory: Path) -> None:
        """Open the collection in `directory`, or begin one."""
        directory.mkdir(parents=True, exist_ok=True)
        self._words = directory / WORDS
        with self._write() as words:
            words.execute("CREATE TABLE IF NOT EXISTS sentences (id TEXT PRIMARY KEY, text TEXT NOT NULL)")
            words.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            words.execute("INSERT OR IGNORE INTO about VALUES ('model', ?)", [model.NAME])
            (name,) = words.execute("SELECT value FROM about WHERE name = 'model'").fetchone()
        if name != model.NAME:
            raise ValueError(f"{directory} holds vectors of {name}, this is {model.NAME}: begin a new collection")
        with self._write():  # of two processes that begin at the same moment, one creates
            if (directory / VECTORS).exists():
                self._index = pqstore.Index.open(directory / VECTORS)
            else:
                self._index = pqstore.Index.create(directory / VECTORS, _quantizer(), id_type="str")

    def close(self) -> None:
        self._index.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, texts: Iterable[str]) -> int:
        """Add sentences; returns how many of them are new. Those without a word in them are passed over."""
        by_id = {id_of(text): _tidy(text) for text in texts}
        with self._write() as words:
            new = [id for id in by_id if id not in self._index]
            vectors = model.embed([by_id[id] for id in new])
            meant = vectors.any(axis=1)  # zeros have no direction, which the cosine needs
            new = [id for id, means in zip(new, meant, strict=True) if means]
            self._index.add(vectors[meant], ids=new)
            # Also the words of those that have a vector: a crash may have come between the two.
            known = [(id, text) for id, text in by_id.items() if id in self._index]
            words.executemany("INSERT OR IGNORE INTO sentences VALUES (?, ?)", known)
        return len(new)

    def remove(self, ids: Sequence[str]) -> list[str]:
        """Remove sentences by id; returns the words of those that were there."""
        with self._write() as words:
            texts = _texts(words, ids)
            self._index.remove(list(ids), missing="ignore")
            words.executemany("DELETE FROM sentences WHERE id = ?", [[id] for id in ids])
        return [texts[id] for id in ids if id in texts]

    def search(self, text: str, k: int = 10) -> list[Hit]:
        """The k sentences nearest in meaning, best first; none for a text without a word in it."""
        query = model.embed([text])[0]
        if not query.any():
            return []
        ids, similarities = self._index.search(query, k=k)
        found = [(id, float(value)) for id, value in zip(ids, similarities, strict=True) if id is not None]
        with closing(sqlite3.connect(self._words)) as words:
            texts = _texts(words, [id for id, _ in found])
        return [Hit(id, texts[id], value) for id, value in found if id in texts]

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction of SQLite; no other process writes to the index meanwhile either."""
        with closing(sqlite3.connect(self._words, timeout=30, isolation_level=None)) as words:
            words.execute("BEGIN IMMEDIATE")
            try:
                yield words
            except BaseException:
                words.execute("ROLLBACK")
                raise
            words.execute("COMMIT")


def id_of(text: str) -> str:
    """The id of a sentence: the same words, the same id."""
    return hashlib.blake2b(_tidy(text).encode(), digest_size=6).hexdigest()


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _texts(words: sqlite3.Connection, ids: Sequence[str]) -> dict[str, str]:
    marks = ", ".join("?" * len(ids))
    return dict(words.execute(f"SELECT id, text FROM sentences WHERE id IN ({marks})", list(ids)).fetchall())


def _quantizer() -> pqstore.PQ:
    """32 bytes a sentence in place of 512. 16 codewords for each pair of numbers: few enough for 315 to train them."""
    pq = pqstore.PQ(M=model.DIMENSION // 2, Ks=16, metric="cosine", verbose=False)
    return pq.fit(model.embed(model.sample_sentences()))
