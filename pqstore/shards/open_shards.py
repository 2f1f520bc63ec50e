"""The open shards of a collection: as its manifest says now, all in one state for questions, or locked for a change."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import IndexClosedError, MissingShardError
from pqstore.index import Index
from pqstore.index.arguments.counts import as_timeout
from pqstore.index.arguments.ids import IdArray
from pqstore.index.search.jointly import JointCodes, joint_codes
from pqstore.index.snapshot_view import SnapshotView
from pqstore.index.transaction import Transaction
from pqstore.kernels import resolve_threads
from pqstore.shards.answering import Answer, Restriction, ShardView
from pqstore.shards.asking import Asker, Nature
from pqstore.shards.file_system import refuse_network
from pqstore.shards.locking import changing, looking
from pqstore.shards.manifest import CollectionManifest, read_collection, write_collection
from pqstore.shards.merging import Merged
from pqstore.shards.opening import check_shard, open_shard
from pqstore.shards.place import Place
from pqstore.shards.several_transactions import several_transactions
from pqstore.shards.writing import involved
from pqstore.storage.disk.crash_points import reach

__all__ = ["OpenShards", "State", "nature_of"]


class State(NamedTuple):
    """What is open."""

    signature: tuple[int, int, int]
    manifest: CollectionManifest
    shards: dict[int, Index]


def _signature(place: Place) -> tuple[int, int, int]:
    """What changes whenever the manifest does.

    Raises:
        MissingShardError: there is none.
    """
    try:
        found = os.stat(place.collection)  # noqa: PTH116 # asked for by every search
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingShardError(f"{place.directory} is no collection, or not committed yet: call commit()") from error
    return found.st_ino, found.st_mtime_ns, found.st_size


def _known(state: State) -> dict[tuple[int, str], Index]:
    """Shards that are open, by what tells a shard from another that has taken its number since."""
    return {
        (entry.number, entry.uuid): state.shards[entry.number]
        for entry in state.manifest.shards
        if entry.number in state.shards
    }


def _opened(place: Place, before: State | None, numbers: Collection[int] | None, *, readonly: bool) -> State:
    """The collection as its manifest says now; shards that are open stay so."""
    signature = _signature(place)
    manifest = read_collection(place)
    known = {} if before is None else _known(before)
    shards: dict[int, Index] = {}
    with ExitStack() as opened:
        for entry in manifest.shards:
            if numbers is not None and entry.number not in numbers:
                continue
            index = known.get((entry.number, entry.uuid))
            if index is not None:
                check_shard(index, manifest, entry)
                shards[entry.number] = index
            else:
                shards[entry.number] = open_shard(place, manifest, entry, readonly=readonly)
                opened.callback(shards[entry.number].close)
        opened.pop_all()
    return State(signature, manifest, shards)


class OpenShards:
    """Owns the indexes."""

    def __init__(self, place: Place, *, readonly: bool, numbers: Collection[int] | None = None) -> None:
        """See `Collection.open`; `numbers`: these shards alone. None: all, also those that come later."""
        refuse_network(place.directory, "the collection", "copy it to a local disk with fetch()")
        self.place, self.readonly, self.closed = place, readonly, False
        self._reopening = threading.Lock()
        self._joint: JointCodes | None = None
        self._numbers = numbers
        self.latest = _opened(place, None, numbers, readonly=readonly)
        self._replaced: list[Index] = []

    def close(self) -> None:
        """Close all shards; closing twice is allowed."""
        self.closed = True
        self._joint = None
        for index in (*self._replaced, *self.latest.shards.values()):
            index.close()

    def state(self) -> State:
        """Manifest and shards as they are now: others may have added a shard."""
        if self.closed:
            raise IndexClosedError(f"the collection at {self.place.directory} is closed")
        if _signature(self.place) != self.latest.signature:
            with self._reopening:
                if _signature(self.place) != self.latest.signature:
                    before = self.latest.shards
                    self.latest = _opened(self.place, self.latest, self._numbers, readonly=self.readonly)
                    # Others may be asking them still.
                    self._replaced += [index for index in before.values() if index not in self.latest.shards.values()]
        return self.latest

    def publish(self, manifest: CollectionManifest) -> None:
        """Put another manifest in its place. Every shard is locked by this process: nobody writes by the old one."""
        with changing(self.place.lock):
            write_collection(self.place, manifest)
        reach("collection published")

    @contextmanager
    def changing(self, ids: IdArray | None, timeout: float | None) -> Iterator[dict[int, Transaction]]:
        """A change of the shards that may hold these ids (None: all), by a manifest that stays until it is made."""
        wait = as_timeout(timeout)
        while True:
            state = self.state()
            numbers = sorted(state.shards)
            if ids is not None:
                numbers = involved(ids, numbers, by_hash=state.manifest.placement == "by hash")
            with several_transactions(state.shards, numbers, self.place.lock, wait) as transactions:
                # Whoever changes the manifest holds all shards: from here on it stays.
                if self.state() is state:
                    yield transactions
                    return

    @contextmanager
    def asking(self) -> Iterator[Asker]:
        """All shards in one state: none is seen within a change of several."""
        with ExitStack() as opened:
            with looking(self.place.lock):
                state = self.state()
                views = {n: opened.enter_context(index.snapshot()) for n, index in state.shards.items()}
            shards = {number: ShardView(view) for number, view in views.items()}

            def fan_out(method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Answer]:
                return {number: shards[number].ask(method, asked) for number, asked in arguments.items()}

            def together(queries: F32, k: int, asked: Restriction) -> tuple[Merged, npt.NDArray[np.bool_]] | None:
                return self._nearest_together(views, queries, k, asked)

            yield Asker(nature_of(state.manifest), sorted(shards), fan_out, together)

    def _nearest_together(
        self, views: Mapping[int, SnapshotView], queries: F32, k: int, asked: Restriction
    ) -> tuple[Merged, npt.NDArray[np.bool_]] | None:
        """The nearest of all codes of all shards by one scan; None: not all codes are meant."""
        if asked.restricts or asked.scan is not None or asked.nprobe not in (None, "all"):
            return None
        with ExitStack() as held:
            readings = [held.enter_context(view.reading()) for view in views.values()]
            joint = self._joint = joint_codes(self._joint, readings)
            if joint.hides_rows or (joint.has_lists and asked.nprobe is None):
                return None
            hits = joint.search(readings, queries, k, resolve_threads(asked.threads))
        numbers = np.array([*views, -1], dtype=np.int64)
        return Merged(hits.ids, hits.distances, numbers[hits.owners]), hits.is_open


def nature_of(manifest: CollectionManifest) -> Nature:
    """What the shards of a collection have in common."""
    return Nature(manifest.D, manifest.metric, manifest.id_type, manifest.originals)
