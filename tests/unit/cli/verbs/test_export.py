"""export and import: codes, ids, metric and quantizer come back as they went."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


def assert_same(one: str, other: str) -> None:
    with pqstore.Index.open(one) as a, pqstore.Index.open(other) as b:
        assert list(a) == list(b)
        assert a.id_type == b.id_type
        assert a.metric == b.metric
        np.testing.assert_array_equal(a.codes(list(a)), b.codes(list(b)))
        queries = np.load("queries.npy")
        for x, y in zip(a.search(queries), b.search(queries), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.fixture(params=["l2", "dot", "cosine", "opq", "str", "wide"])
def variant(request, files: Path) -> str:
    more = {
        "l2": "--metric l2",
        "dot": "--metric dot",
        "cosine": "--metric cosine",
        "opq": "--opq",
        "str": "--ids names.txt",
        "wide": "--Ks 300",
    }[request.param]
    assert main(f"build vectors.npy index --M 4 --Ks 16 --iter 2 {more}".split()) == 0
    assert main(["remove", "index", *(["photo 5"] if request.param == "str" else ["5"])]) == 0
    return request.param


def test_plain_arrays_round_trip(variant: str) -> None:
    assert main("export index codes --to npy".split()) == 0
    assert main("import codes back".split()) == 0
    assert_same("index", "back")
    with pqstore.Index.open("index") as index:
        np.testing.assert_array_equal(np.load("codes/codes.npy"), index.codes(list(index)))
        if variant == "str":
            assert [json.loads(line) for line in Path("codes/ids.jsonl").read_text().splitlines()] == list(index)
        else:
            np.testing.assert_array_equal(np.load("codes/ids.npy"), list(index))


def test_faiss_file_round_trip(variant: str) -> None:
    if variant == "wide":
        pytest.skip("Faiss stores codewords by whole bits: 300 are none")
    assert main("export index index.faiss --to faiss".split()) == 0
    ids = " --ids index.faiss.ids.jsonl" if variant == "str" else ""
    assert main(f"import index.faiss back{ids}".split()) == 0
    with pqstore.Index.open("index") as index, pqstore.Index.open("back") as back:
        assert list(index) == list(back)
        np.testing.assert_array_equal(index.codes(list(index)), back.codes(list(back)))


def test_str_ids_that_span_lines(files: Path) -> None:
    names = [f"a\nb {n} ü\t\u2028" for n in range(1200)]
    Path("odd.jsonl").write_text("".join(json.dumps(name) + "\n" for name in names))
    assert main("import codes.npy index --quantizer nanopq.pkl --ids odd.jsonl".split()) == 0
    assert main("export index codes --to npy".split()) == 0
    assert main("import codes back".split()) == 0
    with pqstore.Index.open("back") as back:
        assert list(back) == names


def test_codes_with_a_nanopq_pickle(files: Path) -> None:
    assert main("import codes.npy index --quantizer nanopq.pkl".split()) == 0
    assert_same("index", "my-index")
    assert main("import nanopq.pkl hollow".split()) == 0
    assert main("add hollow vectors.npy".split()) == 0
    assert_same("hollow", "my-index")


def test_an_empty_index_round_trips(files: Path) -> None:
    assert main("import nanopq.pkl hollow".split()) == 0
    assert main("export hollow codes --to npy".split()) == 0
    assert main("import codes back".split()) == 0
    with pqstore.Index.open("back") as back:
        assert len(back) == 0
