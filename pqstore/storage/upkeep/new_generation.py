"""The records of a generation without rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.storage.disk import directory
from pqstore.storage.disk.environment import Environment
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.state import Identity, State
from pqstore.storage.limits import Limits

__all__ = ["write_generation"]


def write_generation(
    path: Path,
    identity: Identity,
    arrays: Mapping[str, npt.NDArray[Any]],
    catalog: Catalog,
    state: State,
    limits: Limits,
) -> None:
    """Write them to the directory `path`, which is made with those above it; durable when this returns."""
    path.mkdir(parents=True)
    environment = Environment(path, metasync=False, sync=False, create=True, limits=limits)
    try:
        with environment.begin(write=True) as txn:
            meta, quantizer = environment.databases["meta"], environment.databases["quantizer"]
            txn.put(records.IDENTITY_KEY, identity.pack(), db=meta)
            put_state(txn, meta, state)
            txn.put(records.CATALOG_KEY, catalog.pack(), db=meta)
            for name, array in arrays.items():
                txn.put(name.encode(), records.pack_array(name, np.asarray(array)), db=quantizer)
        environment.flush()
    finally:
        environment.close()
    directory.sync_directory(path)
    directory.sync_directory(path.parent)
