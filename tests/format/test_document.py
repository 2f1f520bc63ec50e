"""docs/format.md and the constants of the code say the same."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np

from pqstore.storage.format import records
from pqstore.storage.format.state import Identity, State
from pqstore.storage.idmap.runs import pack_chunk
from pqstore.storage.rows.id_columns import IdCodec
from pqstore.storage.upkeep.verify import INVARIANTS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def rows_of_table(heading: str) -> list[list[str]]:
    """Cells of the Markdown table whose heading row begins so."""
    lines = DOCUMENT.split(heading, 1)[1].splitlines()[2:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_header_fields_lie_where_the_document_says() -> None:
    table = rows_of_table("| offset | bytes | field |")
    record = bytes(records.pack_record(records.RUN_CHUNK, 0x0102, 0x0304, 0x0506, [b"payload"], encoding=7))
    content = {
        "magic": b"PQS1",
        "format version": bytes([records.FORMAT_VERSION]),
        "kind": bytes([records.RUN_CHUNK]),
        "encoding": (7).to_bytes(2, "little"),
        "key 0": (0x0102).to_bytes(8, "little"),
        "key 1": (0x0304).to_bytes(8, "little"),
        "count": (0x0506).to_bytes(8, "little"),
        "payload bytes": (7).to_bytes(8, "little"),
        "reserved": bytes(4),
    }
    end = 0
    for offset, size, name in table:
        assert int(offset) == end
        end += int(size)
        field = name.split(",")[0]
        if field in content:
            assert record[int(offset) : end] == content.pop(field), field
    assert content == {}
    assert end == records.HEADER_BYTES


def test_kinds_and_databases() -> None:
    table = rows_of_table("| kind | record | database |")
    assert {int(kind): name for kind, name, *_ in table if kind} == records.KIND_NAMES
    assert {cells[2].strip("`") for cells in table} == set(records.DATABASES)


def test_encodings_of_ids() -> None:
    told = {int(row[0]): row[1] for row in rows_of_table("| encoding | of | payload |")}
    assert sorted(told) == [
        records.IDS_INT64,
        records.IDS_RANGE,
        records.IDS_STRINGS,
        records.IDS_HASHED_STRINGS,
    ]
    assert told[records.IDS_RANGE] == "consecutive int64 ids"
    codec = IdCodec("str", b"k" * 32)
    encoding, parts = codec.column(["a", "bc"]).encode(tail=True)
    assert encoding == records.IDS_HASHED_STRINGS
    payload = b"".join(bytes(memoryview(part).cast("B")) for part in parts)
    assert payload[16:] == np.array([0, 1, 3], dtype="<u4").tobytes() + b"abc"


def test_run_chunks() -> None:
    assert f"chunks of {records.RUN_CHUNK_ENTRIES} entries" in DOCUMENT
    keys, rows = np.array([1, 2], dtype=np.uint64), np.array([70, 68])
    payload = bytes(pack_chunk(1, 0, keys, rows))[records.HEADER_BYTES :]
    expected = np.array([68, 1, 2], dtype="<u8").tobytes() + np.array([2, 0], dtype="<u4").tobytes()
    assert payload == expected


def test_fields_of_identity_and_state() -> None:
    assert [row[0].strip("`") for row in rows_of_table("| field | meaning |")] == list(State._fields)
    paragraph = DOCUMENT.split("`identity`, written once:", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"`(\w+)`", paragraph) == [f.name for f in fields(Identity)]


def test_invariants() -> None:
    section = DOCUMENT.split("## Invariants", 1)[1].split("##", 1)[0]
    assert {int(number): text for number, text in re.findall(r"^(\d+)\. (.*)$", section, re.MULTILINE)} == INVARIANTS
