"""Brute force: what a search must return, computed from codes without any of the index's own scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import pqstore


def brute_force(
    pq: pqstore.PQ, metric: str, model: Mapping[Any, np.ndarray], queries: np.ndarray, k: int, id_type: str
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `model` (id -> code) for each query: ids, float32 distances; equally near ones by id."""
    names = sorted(model)
    codes = np.array([model[name] for name in names], dtype=np.int64).reshape(-1, pq.M)
    found_ids = np.full((len(queries), k), None if id_type == "str" else -1, dtype=object)
    found = np.full((len(queries), k), np.inf if metric == "l2" else -np.inf, dtype=np.float32)
    for q, query in enumerate(queries):
        table = table_of(pq.codewords, query, metric)
        distances = table[np.arange(pq.M), codes].sum(axis=1) if len(codes) else np.empty(0, np.float32)
        order = np.argsort(distances if metric == "l2" else -distances, kind="stable")[:k]
        found[q, : len(order)] = distances[order]
        for place, row in enumerate(order):
            found_ids[q, place] = names[row]
    return (found_ids if id_type == "str" else found_ids.astype(np.int64)), found


def table_of(codewords: np.ndarray, query: np.ndarray, metric: str) -> np.ndarray:
    """float32 (M, Ks): squared distances or inner products, one dimension after another."""
    if metric == "cosine":
        query = (query.astype(np.float64) / np.linalg.norm(query.astype(np.float64))).astype(np.float32)
    M, Ks, Ds = codewords.shape
    table = np.zeros((M, Ks), dtype=np.float32)
    for d in range(Ds):
        part = query.reshape(M, Ds)[:, None, d]
        table += (part - codewords[:, :, d]) ** 2 if metric == "l2" else part * codewords[:, :, d]
    return table
