"""Originals, payloads and filters against dicts and brute force: any order of changes, with reopen and snapshots."""

from __future__ import annotations

import math
import operator
import re
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import pqstore
from pqstore.storage import store as storage
from tests.effort import tries
from tests.oracle import brute_force, table_of

D = 8
TRAIN = np.random.default_rng(3).integers(0, 40, (300, D)).astype(np.float32)
PQ = pqstore.PQ(M=4, Ks=16, verbose=False).fit(TRAIN, iter=2)
# Filters of any kind are asked of fields of any kind.
pytestmark = pytest.mark.filterwarnings("ignore::pqstore.errors.FilterKindWarning")

START = datetime(2020, 1, 1, tzinfo=timezone.utc)

scalars = st.one_of(
    st.integers(-3, 6),
    st.sampled_from([0.5, 2.0, -1.5, 1e300, 2**53, 2**53 + 1, float(2**53), 2**63, 2**64 - 1, -(2**63)]),
    st.sampled_from(["", "a", "b", "ä", "Ä", "ab", "aBc", "ß"]),
    st.sampled_from([True, False, None, b"", b"x"]),
    st.integers(0, 4).map(lambda n: START + timedelta(hours=n, microseconds=n)),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.sampled_from([{"deep": 1}, {}, float("nan"), [{}], [[]]]))
FIELDS = ("n", "mixed", "word", "tags", "map.n", "map.deep.er")
nested = st.fixed_dictionaries(
    {}, optional={"n": scalars, "deep": st.fixed_dictionaries({}, optional={"er": scalars}), "deep.er": scalars}
)
payloads = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(0, 5),
        "mixed": values,
        "word": st.sampled_from(["de", "en", "fr"]),
        "tags": st.lists(st.sampled_from(["x", "y", 1]), max_size=3),
        "map": nested | scalars,
        "map.n": scalars,
        "map.deep": st.fixed_dictionaries({"er": scalars}),
    },
)
ELSEWHERE = timezone(timedelta(hours=-5))


def as_others_write(value: object) -> object:  # noqa: PLR0911 # one line a type
    """An equal value as NumPy and subclasses have it: stored as what it is equal to."""
    if isinstance(value, dict):
        return {str.__new__(Text, key): as_others_write(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return tuple(map(as_others_write, value))
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.uint64(value) if value >= 2**63 else np.int64(value)
    if isinstance(value, float):
        return np.longdouble(value)
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, bytes):
        return memoryview(value)
    if isinstance(value, datetime):
        return value.astimezone(ELSEWHERE) if value.hour % 2 else np.datetime64(value.replace(tzinfo=None), "us")
    return value


class Text(str):
    def __str__(self) -> str:
        return "another"


ORDERED = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def kind(value: object) -> str | None:
    if isinstance(value, float) and math.isnan(value):
        return None
    for types, name in (
        (bool, "bool"),
        ((int, float), "number"),
        (str, "str"),
        (bytes, "bytes"),
        (datetime, "datetime"),
        (type(None), "null"),
    ):
        if isinstance(value, types):
            return name
    return None


def same(a: object, b: object) -> bool:
    return kind(a) is not None and kind(a) == kind(b) and a == b


def holds(where: dict, payload: dict | None) -> bool:
    """What a filter means, in other words than the product's."""
    has = flat(payload or {})
    for key, wanted in where.items():
        if key == "$and":
            ok = all(holds(w, payload) for w in wanted)
        elif key == "$or":
            ok = any(holds(w, payload) for w in wanted)
        elif key == "$not":
            ok = not holds(wanted, payload)
        elif not isinstance(wanted, dict):
            ok = key in has and same(has[key], wanted)
        else:
            ok = all(holds_one(key, op, operand, has) for op, operand in wanted.items())
        if not ok:
            return False
    return True


def flat(payload: dict) -> dict:
    """A payload with every name that a field has in it; of two ways to one name the one with fewer maps, then shorter
    keys, comes last."""
    names: dict = {}
    for key in sorted(payload, key=len, reverse=True):
        if isinstance(payload[key], dict):
            names |= {f"{key}.{inner}": value for inner, value in flat(payload[key]).items()}
    return names | payload


def holds_one(field: str, op: str, operand: object, has: dict) -> bool:  # noqa: PLR0911
    there = field in has
    value = has.get(field)
    if op == "$not":
        return not all(holds_one(field, o, x, has) for o, x in operand.items())
    if op == "$exists":
        return there == operand
    if op in ("$ne", "$nin"):
        return not holds_one(field, {"$ne": "$eq", "$nin": "$in"}[op], operand, has)
    if op == "$empty":
        return (value in (None, [])) == operand
    if not there:
        return False
    if op in ("$any", "$all"):
        found = [isinstance(value, list) and any(same(member, x) for member in value) for x in operand]
        return any(found) if op == "$any" else bool(found) and all(found)
    if op == "$text":
        return isinstance(value, str) and operand in value
    if op == "$itext":
        return isinstance(value, str) and operand.casefold() in value.casefold()
    if op == "$eq":
        return same(value, operand)
    if op == "$in":
        return any(same(value, x) for x in operand)
    if op == "$contains":
        return isinstance(value, list) and any(same(member, operand) for member in value)
    return kind(value) == kind(operand) and ORDERED[op](value, operand)


parts = st.sampled_from(["", "a", "A", "B", "ä", "Ä", "ss", "ab", "bc", "e", "E"])
ordered = scalars.filter(lambda v: kind(v) not in ("bool", "null"))
leaf = st.sampled_from(FIELDS).flatmap(
    lambda field: st.one_of(
        scalars.map(lambda v: {field: v}),
        st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), scalars).map(lambda p: {field: {p[0]: p[1]}}),
        st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=3)).map(lambda p: {field: {p[0]: p[1]}}),
        st.tuples(st.sampled_from(sorted(ORDERED)), ordered).map(lambda p: {field: {p[0]: p[1]}}),
        st.tuples(st.sampled_from(["$exists", "$empty"]), st.booleans()).map(lambda p: {field: {p[0]: p[1]}}),
        st.tuples(st.sampled_from(["$any", "$all"]), st.lists(scalars, max_size=3)).map(
            lambda p: {field: {p[0]: p[1]}}
        ),
        st.tuples(st.sampled_from(["$text", "$itext"]), parts).map(lambda p: {field: {p[0]: p[1]}}),
        st.integers(0, 5).map(lambda n: {"n": {"$gte": n, "$not": {"$eq": 5}}}),
    )
)
filters = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda x: {"$and": x}),
        st.lists(inner, min_size=1, max_size=3).map(lambda x: {"$or": x}),
        inner.map(lambda x: {"$not": x}),
        st.tuples(leaf, leaf).map(lambda p: {**p[0], **p[1]}),
    ),
    max_leaves=4,
)


class AttachmentsMachine(RuleBasedStateMachine):
    """The model maps each id to (vector, payload), oldest row first. Small segments: sealing and rewriting happen."""

    id_type = "int64"

    @initialize(
        originals=st.sampled_from(["float32", "float16", "int8"]),
        metric=st.sampled_from(["l2", "dot", "cosine"]),
        fields=st.lists(st.sampled_from(FIELDS), unique=True),
    )
    def create(self, originals: str, metric: str, fields: list[str]) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "index"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "segment_rows_for", lambda packing: 64)
            patch.setattr(storage, "chunk_rows_for", lambda packing: 32)
            self.index = pqstore.Index.create(
                self.path, PQ, id_type=self.id_type, metric=metric, originals=originals, fields=fields
            )
        self.metric = metric
        self.model: dict = {}
        self.snapshots: list = []
        self.sets: dict[str, set] = {}

    def as_id(self, number: int) -> int | str:
        return number if self.id_type == "int64" else f"id-{number}"

    @rule(
        numbers=st.lists(st.integers(0, 150), max_size=60, unique=True),
        few=st.lists(payloads, min_size=1, max_size=8),
        with_payloads=st.booleans(),
        by_others=st.booleans(),
        seed=st.integers(0, 1000),
        policy=st.sampled_from(["skip", "replace", "replace"]),
    )
    def add(self, numbers: list[int], few: list, with_payloads: bool, by_others: bool, seed: int, policy: str) -> None:
        ids = [self.as_id(n) for n in numbers]
        # Whole numbers of small range: exact in float16 and int8, and many equal distances.
        vectors = np.random.default_rng(seed).integers(1, 5, (len(ids), D)).astype(np.float32)
        given = [few[n % len(few)] for n in range(len(ids))] if with_payloads else None
        written = as_others_write(given) if given and by_others else given
        self.index.add(vectors, ids, on_conflict=policy, payloads=written)
        for at, (id, vector) in enumerate(zip(ids, vectors, strict=True)):
            if not (policy == "skip" and id in self.model):
                self.model.pop(id, None)
                self.model[id] = (vector, given[at] if given else None)
        self.in_row_order()

    @rule(numbers=st.lists(st.integers(0, 150), max_size=40), every=st.integers(2, 9))
    def remove(self, numbers: list[int], every: int) -> None:
        ids = {self.as_id(n) for n in numbers} | set(list(self.model)[::every])
        known = {id for id in ids if id in self.model}
        assert self.index.remove(list(ids), missing="ignore") == len(known)
        for id in known:
            del self.model[id]
        self.in_row_order()

    @rule(every=st.integers(1, 9), payload=payloads, merge=st.booleans())
    def update(self, every: int, payload: dict | None, merge: bool) -> None:
        ids = list(self.model)[::every]
        assert self.index.update_payload(ids, payload, merge=merge) == len(ids)
        for id in ids:
            vector, old = self.model.pop(id)
            new = {**(old or {}), **payload} if merge and payload is not None else payload
            self.model[id] = (vector, new)
        self.in_row_order()

    @rule(where=filters, payload=payloads, merge=st.booleans())
    def update_where(self, where: dict, payload: dict | None, merge: bool) -> None:
        ids = [id for id, (_, old) in self.model.items() if holds(where, old)]
        assert self.index.update_payload(where=where, payloads=payload, merge=merge) == len(ids)
        for id in ids:
            vector, old = self.model.pop(id)
            new = {**(old or {}), **payload} if merge and payload is not None else payload
            self.model[id] = (vector, new)
        self.in_row_order()

    @rule(field=st.sampled_from(FIELDS))
    def create_field_index(self, field: str) -> None:
        self.index.create_field_index(field)
        assert field in self.index.fields

    @rule(where=filters)
    def delete(self, where: dict) -> None:
        gone = self.index.delete(where)
        keep = {id: entry for id, entry in self.model.items() if not holds(where, entry[1])}
        assert gone == len(self.model) - len(keep)
        self.model = keep
        self.in_row_order()

    @rule()
    def reopen(self) -> None:
        self.drop_snapshots()
        self.index.close()
        self.index = pqstore.Index.open(self.path)

    @rule()
    def compact(self) -> None:
        self.index.compact()
        self.in_row_order()

    @precondition(lambda self: len(self.snapshots) < 2)
    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((self.index.snapshot(), dict(self.model), dict(self.sets)))

    @rule(name=st.sampled_from(["a", "ä b"]), every=st.integers(1, 9), more=st.lists(st.integers(0, 300), max_size=5))
    def save_set(self, name: str, every: int, more: list[int]) -> None:
        ids = [*list(self.model)[::every], *map(self.as_id, more)]
        assert self.index.save_set(name, ids) == len(set(ids))
        self.sets[name] = set(ids)

    @precondition(lambda self: self.sets)
    @rule()
    def drop_set(self) -> None:
        name = min(self.sets)
        self.index.drop_set(name)
        del self.sets[name]
        with pytest.raises(pqstore.UnknownSetError):
            self.index.count(allow=name)

    def in_row_order(self) -> None:
        """Rewriting segments appends their live rows again: content is the model's, order the index's."""
        order = list(self.index)
        assert len(order) == len(self.model)
        assert set(order) == set(self.model)
        self.model = {id: self.model[id] for id in order}

    def views(self) -> list:
        return [(self.index, self.model, self.sets), *self.snapshots]

    @rule(
        seed=st.integers(0, 1000),
        k=st.integers(1, 20),
        where=st.none() | filters,
        some=st.integers(1, 5),
        by_name=st.booleans(),
    )
    def search(self, seed: int, k: int, where: dict | None, some: int, by_name: bool) -> None:
        queries = np.random.default_rng(seed).integers(1, 5, (2, D)).astype(np.float32)
        for view, model, sets in self.views():
            ids = list(model)[::some]
            restrict = {} if some == 1 else {"allow": ids} if some % 2 else {"deny": ids}
            if restrict and by_name and sets:
                name = max(sets)
                ids, restrict = sets[name], dict.fromkeys(restrict, name)
            hits = view.search(queries, k=k, where=where, include=("payload", "vector"), explain=True, **restrict)
            for remark in hits.plan.remarks:
                self.check_remark(remark, model)
            allowed = {
                id: entry
                for id, entry in model.items()
                if (where is None or holds(where, entry[1]))
                and ("allow" not in restrict or id in ids)
                and ("deny" not in restrict or id not in ids)
            }
            assert view.count(where, **restrict) == len(allowed)
            assert hits.plan.allowed_rows == len(allowed)
            codes = {id: coder(self.metric).encode(v[None])[0] for id, (v, _) in allowed.items()}
            expected_ids, expected = brute_force(PQ, self.metric, codes, queries, k, self.id_type)
            np.testing.assert_array_equal(hits.distances, expected)
            np.testing.assert_array_equal(hits.ids, expected_ids)
            for q in range(2):
                for place, id in enumerate(hits.ids[q].tolist()):
                    if id in allowed:
                        same_payload(hits.payloads[q][place], allowed[id][1])
                        np.testing.assert_array_equal(hits.vectors[q, place], allowed[id][0])
            self.exact_search(view, allowed, queries, k, where, restrict)
            self.within(
                view, codes, queries, float(np.median(expected[np.isfinite(expected)] if codes else 3)), where, restrict
            )

    def exact_search(self, view, allowed: dict, queries: np.ndarray, k: int, where, restrict: dict) -> None:
        """With every allowed row reranked, the answer is that of exact search."""
        found = view.search(queries, k=k, rerank=max(k, len(allowed)), where=where, **restrict)
        names = sorted(allowed)
        vectors = np.array([allowed[name][0] for name in names], dtype=np.float64).reshape(-1, D)
        for q, query in enumerate(queries.astype(np.float64)):
            distances = exact(self.metric, query, vectors).astype(np.float32)
            order = np.argsort(distances if self.metric == "l2" else -distances, kind="stable")[:k]
            np.testing.assert_array_equal(found.distances[q][: len(order)], distances[order])
            assert found.ids[q][: len(order)].tolist() == [names[row] for row in order]

    def within(self, view, codes: dict, queries: np.ndarray, radius: float, where, restrict: dict) -> None:
        found = view.range_search(queries, radius, where=where, **restrict)
        array = np.array(list(codes.values()), dtype=np.int64).reshape(-1, PQ.M)
        for q, query in enumerate(queries):
            distances = table_of(PQ.codewords, query, self.metric)[np.arange(PQ.M), array].sum(axis=1)
            inside = distances <= radius if self.metric == "l2" else distances >= radius
            assert set(found.ids[q].tolist()) == {id for id, yes in zip(codes, inside, strict=True) if yes}
            assert sorted(found.distances[q].tolist()) == sorted(distances[inside].tolist())

    def check_remark(self, remark: str, model: dict) -> None:
        """That a comparison finds nothing is said only where no payload has the field, or none such a value."""
        field = re.search(r"field '([\w.]+)'", remark).group(1)
        present = [flat(entry)[field] for _, entry in model.values() if entry and field in flat(entry)]
        if remark.startswith("no payload"):
            assert present == []
        else:
            operand = re.search(r" \((\w+)\) finds nothing", remark).group(1)
            of_members = operand if re.search(r"finds nothing.*members of lists, not", remark) else None
            assert operand not in {kind(value) for value in present} or "list of" in remark or of_members

    @invariant()
    def same_content(self) -> None:
        if not hasattr(self, "index"):
            return
        for view, model, sets in self.views():
            assert view.sets == {name: len(ids) for name, ids in sets.items()}
            for name, saved in sets.items():
                assert view.saved_set(name).tolist() == sorted(saved)
            assert list(view) == list(model)
            ids = list(model)[-5:] + list(model)[:3]
            for record, id in zip(view.get(ids), ids, strict=True):
                assert record.id == id
                np.testing.assert_array_equal(record.vector, model[id][0])
                same_payload(record.payload, model[id][1])
        page = self.index.scroll(limit=7)
        names = [record.id for record in page.records]
        if self.index.id_type == "int64":
            assert names == sorted(self.model)[:7]
        else:  # in the order of their keys
            assert len(set(names)) == min(7, len(self.model))
            assert set(names) <= set(self.model)
        assert (page.after is None) == (len(self.model) <= 7)

    def drop_snapshots(self) -> None:
        for view, *_ in self.snapshots:
            view.close()
        self.snapshots.clear()

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.drop_snapshots()
            index = self.index
            problems = self.index.verify(deep=True)
            assert problems == [], list(map(str, problems))
            self.index.backup(self.directory / "backup")
            with pqstore.Index.open(self.directory / "backup") as self.index:
                self.same_content()
                assert self.index.verify(deep=True) == []
            index.close()
            shutil.rmtree(self.directory)


def exact(metric: str, query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    if metric == "l2":
        return ((vectors - query) ** 2).sum(axis=1)
    if metric == "cosine":
        vectors = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        query = query / np.sqrt((query**2).sum())
    return np.array([float(np.dot(v, query)) for v in vectors])


def same_payload(found: dict | None, expected: dict | None) -> None:
    # repr: NaN equals itself, True is not 1
    assert repr(found) == repr(expected)


def coder(metric: str) -> pqstore.PQ:
    if metric != "cosine":
        return PQ
    turned = pqstore.PQ(M=4, Ks=16, metric="cosine", verbose=False)
    turned.codewords = PQ.codewords
    return turned


class NamedAttachmentsMachine(AttachmentsMachine):
    id_type = "str"


LIMITS = settings(
    max_examples=tries(10, 100),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
AttachmentsMachine.TestCase.settings = LIMITS
NamedAttachmentsMachine.TestCase.settings = LIMITS
TestIntegerIds = AttachmentsMachine.TestCase
TestStringIds = NamedAttachmentsMachine.TestCase
