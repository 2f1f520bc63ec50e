"""nanopq's objects and pickles become ours, and nothing else gets through."""

from __future__ import annotations

import builtins
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore.errors import InvalidQuantizerError, PQStoreError
from pqstore.interop.nanopq import from_nanopq, load_nanopq_pickle
from pqstore.quantizer import OPQ, PQ

CODEWORDS = np.random.default_rng(0).standard_normal((4, 8, 3)).astype(np.float32)
R = np.linalg.qr(np.random.default_rng(1).standard_normal((12, 12)))[0].astype(np.float32)


@pytest.fixture
def nanopq_classes(monkeypatch: pytest.MonkeyPatch) -> tuple[type, type]:
    """Classes with nanopq's names and attributes, whether it is installed or not."""
    made = []
    for module_name, kind in (("nanopq.pq", "PQ"), ("nanopq.opq", "OPQ")):
        module = types.ModuleType(module_name)
        cls = type(kind, (), {"__module__": module_name})
        setattr(module, kind, cls)
        monkeypatch.setitem(sys.modules, module_name, module)
        made.append(cls)
    monkeypatch.setitem(sys.modules, "nanopq", types.ModuleType("nanopq"))
    return made[0], made[1]


def theirs(classes: tuple[type, type], kind: str, **changes: Any) -> Any:
    pq = classes[0]()
    pq.M, pq.Ks, pq.metric, pq.verbose = 4, 8, "dot", False
    pq.code_dtype, pq.codewords, pq.Ds = np.uint8, CODEWORDS, 3
    vars(pq).update({k: v for k, v in changes.items() if k not in ("R", "pq")})
    if kind == "PQ":
        return pq
    opq = classes[1]()
    opq.pq, opq.R = changes.get("pq", pq), changes.get("R", R)
    return opq


def ours(kind: str) -> PQ | OPQ:
    made: PQ | OPQ = (PQ if kind == "PQ" else OPQ)(4, 8, "dot", verbose=False)
    made.codewords = CODEWORDS
    if isinstance(made, OPQ):
        made.R = R
    return made


@pytest.mark.parametrize("kind", ["PQ", "OPQ"])
def test_live(kind: str, nanopq_classes: tuple[type, type]) -> None:
    source = theirs(nanopq_classes, kind)
    made = from_nanopq(source)
    assert made == ours(kind)
    assert not np.shares_memory(made.codewords, CODEWORDS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["PQ", "OPQ"])
def test_pickles_of_every_protocol(
    kind: str, protocol: int, nanopq_classes: tuple[type, type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "q.pkl").write_bytes(pickle.dumps(theirs(nanopq_classes, kind), protocol))
    for module in ("nanopq", "nanopq.pq", "nanopq.opq"):
        monkeypatch.setitem(sys.modules, module, None)  # it is not needed
    assert load_nanopq_pickle(tmp_path / "q.pkl") == ours(kind)


def test_untrained(nanopq_classes: tuple[type, type], tmp_path: Path) -> None:
    for kind in ("PQ", "OPQ"):
        source = theirs(nanopq_classes, kind, codewords=None, Ds=None, R=None)
        assert from_nanopq(source) == type(ours(kind))(4, 8, "dot", verbose=False)


def test_what_old_versions_pickled(nanopq_classes: tuple[type, type], tmp_path: Path) -> None:
    source = theirs(nanopq_classes, "PQ", codewords=CODEWORDS.astype(np.float64), M=np.int64(4))
    del source.metric  # there was one metric
    (tmp_path / "q.pkl").write_bytes(pickle.dumps(source))
    made = load_nanopq_pickle(tmp_path / "q.pkl")
    assert made.metric == "l2"
    np.testing.assert_array_equal(made.codewords, CODEWORDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"M": 5},
        {"Ks": 9},
        {"M": "4"},
        {"metric": "angular"},
        {"codewords": CODEWORDS[0]},
        {"codewords": CODEWORDS * np.nan},
        {"R": np.eye(12) * 2},
        {"R": "R"},
        {"pq": None},
        {"pq": 3},
    ],
    ids=str,
)
def test_parts_that_contradict_each_other(changes: dict, nanopq_classes: tuple[type, type], tmp_path: Path) -> None:
    source = theirs(nanopq_classes, "OPQ", **changes)
    with pytest.raises(InvalidQuantizerError):
        from_nanopq(source)
    (tmp_path / "q.pkl").write_bytes(pickle.dumps(source))
    with pytest.raises(InvalidQuantizerError, match=r"q\.pkl"):
        load_nanopq_pickle(tmp_path / "q.pkl")


def test_other_objects_are_refused() -> None:
    for other in (ours("PQ"), object(), None, CODEWORDS):
        with pytest.raises(InvalidQuantizerError, match="PQ or OPQ of nanopq"):
            from_nanopq(other)


class Evil:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple:
        return self.call, self.arguments


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, "touch pwned"),
        Evil(builtins.eval, "open('pwned', 'w')"),
        Evil(builtins.exec, "open('pwned', 'w')"),
        Evil(builtins.open, "pwned", "w"),
        Evil(getattr, "", "join"),
        Evil(np.load, "x.npy"),
        Evil(np.memmap, "pwned", "u1", "w+", 0, (1,)),
        Evil(np.ndarray, (2,), "O"),
        Path("x"),
        np.array([{}], dtype=object),
        Evil(pickle.loads, b"cos\nsystem\n."),
        np.random.default_rng(0),
    ],
    ids=lambda evil: getattr(getattr(evil, "call", None), "__name__", type(evil).__name__),
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_else_is_loaded(
    evil: Any,
    protocol: int,
    nanopq_classes: tuple[type, type],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for source in (evil, theirs(nanopq_classes, "PQ", codewords=evil)):
        (tmp_path / "q.pkl").write_bytes(pickle.dumps(source, protocol))
        with pytest.raises(InvalidQuantizerError, match=r"q\.pkl"):
            load_nanopq_pickle("q.pkl")
    assert not (tmp_path / "pwned").exists()


def test_damaged_pickles(nanopq_classes: tuple[type, type], tmp_path: Path) -> None:
    sound = pickle.dumps(theirs(nanopq_classes, "PQ"))
    path = tmp_path / "q.pkl"
    for length in range(0, len(sound), 5):
        path.write_bytes(sound[:length])
        with pytest.raises(InvalidQuantizerError, match=r"q\.pkl"):
            load_nanopq_pickle(path)
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 0x15
        path.write_bytes(damaged)
        try:
            load_nanopq_pickle(path)
        except PQStoreError as error:
            assert "q.pkl" in str(error)  # noqa: PT017 # some changes are values, and pass
    with pytest.raises(FileNotFoundError):
        load_nanopq_pickle(tmp_path / "missing")
