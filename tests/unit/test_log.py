"""The logger "pqstore": waits and slow work, said to programs that listen."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

import pqstore
from pqstore import log


@pytest.fixture
def everything_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SLOW", 0.0)


def test_waits_and_work_are_logged(filled_index, everything_is_slow, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="pqstore"):
        filled_index.remove([1])
        filled_index.compact()
    said = [record.getMessage() for record in caplog.records if record.name == "pqstore"]
    for work in ("waiting for another writer", "maintenance after a commit", "compact"):
        assert any(f"index at {filled_index.path}: {work} took " in line for line in said), work


def test_a_wait_for_another_writer_is_logged_with_its_length(filled_index, caplog, monkeypatch) -> None:
    monkeypatch.setattr(log, "SLOW", 0.05)
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with filled_index._store.write():
            inside.set()
            go_on.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(20)
    threading.Timer(0.2, go_on.set).start()
    with caplog.at_level(logging.INFO, logger="pqstore"):
        filled_index.remove([1])
    holder.join()
    assert any("waiting for another writer took" in record.getMessage() for record in caplog.records)


def test_nothing_is_said_of_what_is_quick(filled_index, caplog, monkeypatch) -> None:
    monkeypatch.setattr(log, "SLOW", 1000.0)
    with caplog.at_level(logging.DEBUG, logger="pqstore"):
        filled_index.remove([1])
        filled_index.compact()
    assert [record for record in caplog.records if record.name == "pqstore"] == []


def test_who_does_not_listen_does_not_pay() -> None:
    code = "import sys; from pqstore import log; log.info('x'); print('logging' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.fixture
def filled_index(tmp_path, base):
    pq = pqstore.PQ(M=8, Ks=16, verbose=False).fit(base[:300], iter=2)
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(base[:300])
        yield index
