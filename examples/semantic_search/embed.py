"""Sentences to vectors: the one function to replace by a model of your own.

`embed` here needs no download. It knows the words of `topics.txt`, a hand-written list of 21 topics, so that "feeling
ill" comes near to "The nurse changed the bandage"; and it knows how words begin, so that a word finds itself and its
other forms. It understands nothing else. With a trained model the rest of the application stays as it is:

    from sentence_transformers import SentenceTransformer

    MODEL = SentenceTransformer("all-MiniLM-L6-v2")
    NAME, DIMENSION = "all-MiniLM-L6-v2", 384

    def embed(sentences):
        return MODEL.encode(list(sentences), normalize_embeddings=True)
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SAMPLES = HERE / "sentences.txt"

NAME = "topics-and-beginnings-1"
"""Stored beside the vectors: vectors of two models do not compare. Change it with the function."""
DIMENSION = 128

# A sentence is read as its words and their beginnings: "raining" counts as raining, rain-, raini- and rainin-.
BEGINNINGS = (4, 5, 6)
WORD_WEIGHT = 2
DOUBT = 4.0


def embed(sentences: Sequence[str]) -> np.ndarray:
    """float32 (n, DIMENSION): one vector of length 1 a sentence; nearer in angle means nearer in meaning.

    A sentence without a single word gives zeros.
    """
    return np.array([_embed(sentence) for sentence in sentences], dtype=np.float32).reshape(-1, DIMENSION)


def sample_sentences() -> list[str]:
    """The sentences that come with the example."""
    return [line for line in SAMPLES.read_text(encoding="utf-8").splitlines() if line]


def _embed(sentence: str) -> np.ndarray:
    topics, weights, unseen = _knowledge()
    count = len(next(iter(topics.values())))
    about, spelled = np.zeros(count), np.zeros(DIMENSION - count)
    for part, times in _parts(sentence).items():
        weight = weights.get(part, unseen)
        about += times * weight * topics.get(part, 0.0)
        spelled += np.sqrt(times) * weight * _direction(part)[: len(spelled)]
    # Words of no topic may share a beginning with one that has: what little that says is not blown up to length 1.
    about /= np.linalg.norm(about) + DOUBT
    return _unit(np.concatenate([about, _unit(spelled)]))


@cache
def _knowledge() -> tuple[dict[str, np.ndarray], dict[str, float], float]:
    """Each part's shares in the topics; how much it says ("the" little, "sourdough" a lot); what an unseen one says."""
    lines = (HERE / "topics.txt").read_text(encoding="utf-8").splitlines()
    by_topic = [_parts(line.partition(":")[2]) for line in lines]
    totals = sum(by_topic, Counter())
    topics = {part: np.array([one[part] for one in by_topic]) / (1 + total) for part, total in totals.items()}
    samples = sample_sentences()
    seen = Counter(part for sentence in samples for part in _parts(sentence))
    weights = {part: float(np.log((1 + len(samples)) / (1 + times))) for part, times in seen.items()}
    return topics, weights, float(np.log(1 + len(samples)))


def _parts(text: str) -> Counter[str]:
    """Words and their beginnings, and how much each counts."""
    parts: Counter[str] = Counter()
    for word in re.findall(r"\w+", text.casefold()):
        parts[word] += WORD_WEIGHT
        parts.update(word[:length] + "-" for length in BEGINNINGS if length <= len(word))
    return parts


@lru_cache(maxsize=65_536)
def _direction(part: str) -> np.ndarray:
    """Signs that are its own: a random direction, nearly at right angles to that of every other part."""
    digest = hashlib.blake2b(part.encode(), digest_size=DIMENSION // 8).digest()
    return 1.0 - 2.0 * np.unpackbits(np.frombuffer(digest, dtype=np.uint8))


def _unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1; zeros stay zeros."""
    length = np.linalg.norm(vector)
    return vector / length if length else vector
