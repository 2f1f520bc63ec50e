"""The floors of the house: who stands above whom, between rooms and inside them. Arrows point down only.

Imports inside functions, and those for type checkers alone, count like any other.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house import House

PACKAGE = Path(__file__).parents[2] / "pqstore"

# From the ground up. What stands in one line may not import one another, unless it is one room.
FLOORS = {
    "": [
        ["errors", "arrays", "native"],
        ["log", "paths", "progress", "warning"],
        ["whole_file"],
        ["kernels"],
        ["quantizer", "storage"],
        ["interop"],
        ["index"],
        ["integrations", "shards"],
        ["__init__"],
        ["cli"],
        ["__main__"],
    ],
    "kernels": [
        ["chunk", "code_layout", "threads", "checksum", "readable", "merge"],
        ["table_parts", "lists"],
        ["contract"],
        ["reference", "compiled"],
        ["dispatch"],
        ["originals"],
        ["exact"],
    ],
    "storage": [
        ["format"],
        ["limits", "stats"],
        ["disk", "rows"],
        ["attachments", "idmap", "lists"],
        ["transactions"],
        ["upkeep"],
        ["store"],
        ["repair"],
    ],
    "storage.format": [
        ["records", "fields", "decoding"],
        ["state", "catalog", "rebuild_note"],
        ["segment_table", "staged", "list_state"],
    ],
    "storage.disk": [
        ["crash_points", "lmdb_meta", "process_lock", "reader_table", "regular_file", "system_errors"],
        ["directory", "held_directory", "lmdb_errors", "lmdb_lookup", "lmdb_pages", "spool", "writer_lock"],
        ["lmdb_contents"],
        ["lock_file"],
        ["lmdb_trees"],
        ["data_file"],
        ["address_space"],
        ["environment", "numbered_state"],
    ],
    "storage.rows": [
        ["row_numbers", "tombstones", "packing", "id_columns"],
        ["geometry", "column_records"],
        ["schema"],
    ],
    "storage.attachments": [
        ["row_sets", "original_files", "plain_values", "field_paths", "saved_sets"],
        ["column_groups", "payload_records"],
        ["field_entries"],
        ["field_column"],
        ["field_records", "column_values", "row_values", "ends"],
    ],
    "storage.lists": [["stored_table", "list_runs"], ["list_merge", "assigning"]],
    "storage.idmap": [["order"], ["search"], ["runs", "ranges", "recent"], ["merge"]],
    "storage.transactions": [
        ["cache", "staging", "allowances", "faults", "rebuilding_places", "registry"],
        ["generation"],
        ["leftovers", "place"],
        ["open_index", "state_records"],
        ["reference"],
        ["committed", "row_reads", "attachment_reads"],
        ["id_lookup", "id_order", "list_reads", "pending", "living"],
        ["features"],
        ["row_writes", "attachment_writes", "catalog_writes", "pending_commit", "snapshot"],
        ["write", "snapshot_lists", "known_state"],
        ["expiry"],
    ],
    "storage.upkeep": [
        [
            "problem",
            "generation_copy",
            "new_generation",
            "switching",
            "merging",
            "rewriting",
            "listing",
            "rebuild_plan",
        ],
        ["verify_attachments", "verify_lists", "backup", "compaction", "maintenance", "partitioning"],
        ["rebuilt_copy", "verify"],
        ["unfinished_copy"],
        ["rebuilding"],
    ],
    "storage.repair": [["report"], ["records"], ["rows", "attachments"], ["repair"]],
    "index": [
        ["arguments", "background", "code_packing", "uses", "vector_packing", "vectorless", "table_rows"],
        ["code_space"],
        ["exact_space", "code_error"],
        ["reading", "settings", "unreadable"],
        ["all_rows"],
        ["filters", "saved_sets", "expiry"],
        ["selection"],
        ["facts", "lists"],
        ["search"],
        ["recall", "records", "spaces", "training_work", "drift"],
        ["training"],
        ["stats", "ingest", "payload_updates", "removal", "faiss_rows", "table_stream"],
        ["vector_updates"],
        ["snapshot_view", "transaction", "asynchronous", "open_or_create"],
        ["index", "moving"],
        ["faiss_transfer"],
    ],
    "index.arguments": [["clock", "counts", "ids", "payloads", "types", "vectors"], ["sets"]],
    "index.filters": [
        ["tree"],
        ["compare", "parse", "plan", "columns", "kinds"],
        ["payload_scan"],
        ["evaluation"],
    ],
    "index.facts": [
        ["values", "wanted_rows"],
        ["in_columns", "in_payloads"],
        ["source"],
        ["field_values", "field_range", "field_kinds"],
    ],
    "index.selection": [["row_masks", "id_set", "kept"], ["selection"], ["by_filter"], ["select"], ["searchable"]],
    "index.search": [
        ["results", "calibration", "order", "radius", "diversity", "groups", "tables"],
        ["probe"],
        ["nearest", "rerank"],
        ["question", "hits", "exact", "candidates", "jointly"],
        ["ranking", "variety"],
        ["plain", "top_k", "within"],
    ],
    "index.lists": [["assigning"], ["prepared", "partitioning", "in_order"], ["list_stats", "wish"]],
    "index.recall": [["share", "report", "list_needs"], ["measuring"], ["calibrating"]],
    "integrations": [
        ["nested_filter", "text_batch", "haystack_filters", "llama_index_filters", "opening", "answers"],
        ["langchain", "haystack", "llama_index", "txtai", "ann_benchmarks", "vectordb_bench"],
    ],
    "shards": [
        ["file_system", "place", "repeated_ids", "routing", "locking", "merging", "replicas", "partial", "own_files"],
        ["documents", "scratch"],
        ["shard_plan", "recipe"],
        ["manifest"],
        ["source", "copying"],
        ["planning", "training"],
        ["building"],
        ["committing"],
        ["answering", "several_transactions"],
        ["asking", "opening"],
        ["group"],
        ["writing", "enlarging", "verifying", "fetching"],
        ["open_shards"],
        ["collection"],
        ["ray"],
    ],
    "shards.ray": [
        ["library", "sharing"],
        ["shard_actor", "round", "building", "search_batch"],
        ["searcher"],
    ],
    "interop": [["mapped_file", "nanopq"], ["corpus", "faiss"]],
    "interop.faiss": [
        ["bits", "reduction"],
        ["contents"],
        ["file", "live", "reencoding"],
        ["convert", "opening", "partitioned"],
        ["exporting"],
    ],
    "cli": [
        ["printed"],
        ["json_text"],
        ["report"],
        ["inputs", "unfinished"],
        ["results", "measuring"],
        ["records"],
        ["verbs"],
        ["main"],
    ],
    "cli.measuring": [["trials", "timings"], ["recall_plot"]],
}
# room -> the rooms that it may import besides the ground; a room that is not named may import all below it.
ALLOWED = {
    "storage": {"kernels.checksum"},
    "interop": {"kernels", "quantizer"},
}
GROUND = {"errors", "arrays", "log", "native", "paths", "progress", "warning", "whole_file"}
ONLY_IN_STORAGE = {"lmdb", "msgpack"}
OPTIONAL = {"faiss", "matplotlib", "h5py", "pyarrow", "rich", "shtab", "nanopq", "ray"}
OPTIONAL |= {"langchain_core", "haystack", "llama_index", "txtai", "vectordb_bench"}
# An adapter is a class of its framework: it is imported by who has that, and by nothing of the package.
ADAPTERS = {
    "integrations.langchain": "langchain_core",
    "integrations.haystack": "haystack",
    "integrations.llama_index": "llama_index",
    "integrations.txtai": "txtai",
    "integrations.vectordb_bench": "vectordb_bench",
}
# What they stand for is as large as their framework says.
LARGE = {("index.index", "Index"), ("integrations.haystack", "PQStoreDocumentStore")}

HOUSE = House(PACKAGE)
ARROWS = list(HOUSE.arrows_between(FLOORS))


@pytest.mark.parametrize("name", HOUSE.modules)
def test_arrows_point_down(name: str) -> None:
    for arrow in ARROWS:
        if arrow.importer == name:
            assert arrow.upper is not None, f"{arrow.room or 'pqstore'} does not say where {name} stands"
            assert arrow.lower is not None, f"{arrow.room or 'pqstore'} does not say where {arrow.imported} stands"
            assert arrow.lower < arrow.upper, f"{name} imports {arrow.imported}, which stands on its floor or above"


@pytest.mark.parametrize("name", HOUSE.modules)
def test_rooms_import_what_they_may(name: str) -> None:
    room = name.partition(".")[0]
    if room not in ALLOWED:
        return
    for other in HOUSE.arrows[name]:
        top = other.partition(".")[0]
        assert top in GROUND | {room} or ALLOWED[room] & {top, other}, f"{name} imports {other}"


def test_no_circles() -> None:
    """A package's face hands names on: what it imports counts as imported by who imports the face."""
    assert [" <-> ".join(knot) for knot in HOUSE.circles()] == []


@pytest.mark.parametrize("name", HOUSE.modules)
def test_only_the_storage_reads_bytes(name: str) -> None:
    for line, module in HOUSE.imports(HOUSE.trees[name]):
        top = module.partition(".")[0]
        assert top not in ONLY_IN_STORAGE or name.startswith("storage."), f"{name} line {line} imports {module}"


@pytest.mark.parametrize("name", HOUSE.modules)
def test_optional_libraries_are_imported_where_they_are_used(name: str) -> None:
    for node in HOUSE.trees[name].body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            tops = {m.partition(".")[0] for _, m in HOUSE.imports(node)}
            assert not tops & (OPTIONAL - {ADAPTERS.get(name)}), f"{name} line {node.lineno}"


@pytest.mark.parametrize("name", HOUSE.modules)
def test_adapters_are_imported_by_their_users_alone(name: str) -> None:
    assert not HOUSE.arrows[name] & set(ADAPTERS)
    if name not in ADAPTERS:
        tops = {module.partition(".")[0] for _, module in HOUSE.imports(HOUSE.trees[name])}
        assert not tops & set(ADAPTERS.values()), f"{name} imports the framework of an adapter"


def test_circles_and_arrows_up_are_seen(tmp_path: Path) -> None:
    """Also those of which one import stands in a function, and the other is for type checkers alone."""
    package = tmp_path / "pqstore"
    (package / "storage").mkdir(parents=True)
    (package / "storage" / "__init__.py").write_text("")
    (package / "storage" / "format.py").write_text("def late():\n    from pqstore.storage import store\n")
    (package / "storage" / "store.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pqstore.storage.format import late\n"
    )
    house = House(package)
    assert house.circles() == [["storage.format", "storage.store"]]
    up = [arrow for arrow in house.arrows_between(FLOORS) if arrow.lower >= arrow.upper]
    assert [(arrow.importer, arrow.imported) for arrow in up] == [("storage.format", "storage.store")]


def test_no_class_but_the_index_has_more_than_25_methods() -> None:
    """Inherited ones count. The index is a face: its methods hand on."""
    for cls in HOUSE.classes.values():
        if (cls.module, cls.name) not in LARGE:
            assert len(HOUSE.methods(cls)) <= 25, f"{cls.module}.{cls.name}"
