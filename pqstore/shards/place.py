"""The directory of a collection: what lies where, and under which name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pqstore.paths import as_path

__all__ = ["Place"]

_UNFINISHED = ".unfinished-"
_LEFTOVER = re.compile(r"shard-[0-9]{5,6}-[0-9a-f]{32}\.unfinished-[0-9a-f]{16}\Z")


class Place:
    """Paths in the directory of a collection; nothing is read.

    corpus.pqc/
        plan.json                       which rows become which shard
        recipe.json                     how shards are built
        quantizer-HASH.npz              named by its content
        shard-00000-HASH/               an index; HASH is that of the plan
        shard-00000-HASH.json           its manifest, written after it
        collection.json                 which shards there are: written last
        collection.lock                 held while several shards change together
    """

    def __init__(self, directory: Any) -> None:
        self.directory = as_path(directory).absolute()

    @property
    def plan(self) -> Path:
        return self.directory / "plan.json"

    @property
    def recipe(self) -> Path:
        return self.directory / "recipe.json"

    @property
    def collection(self) -> Path:
        return self.directory / "collection.json"

    @property
    def lock(self) -> Path:
        return self.directory / "collection.lock"

    def quantizer(self, hash_: str) -> Path:
        return self.directory / f"quantizer-{hash_}.npz"

    def shard(self, number: int, plan: str) -> Path:
        return self.directory / f"shard-{number:05d}-{plan}"

    def manifest(self, number: int, plan: str) -> Path:
        return self.directory / f"shard-{number:05d}-{plan}.json"

    def attempt(self, number: int, plan: str, attempt: str) -> Path:
        """Where an attempt copies a shard to before it is whole."""
        return self.directory / f"shard-{number:05d}-{plan}{_UNFINISHED}{attempt}"

    def leftovers(self) -> list[Path]:
        """What attempts left that did not end."""
        return sorted(path for path in self.directory.iterdir() if _LEFTOVER.match(path.name) and path.is_dir())
