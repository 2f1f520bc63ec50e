"""Which shards an actor has."""

from __future__ import annotations

from pqstore.shards.manifest import CollectionManifest

__all__ = ["shared_out"]


def shared_out(manifest: CollectionManifest, actors: int | None) -> list[tuple[int, ...]]:
    """The numbers of the shards that each actor has: such that follow one another, with about as many rows each."""
    entries = manifest.shards
    count = len(entries) if actors is None else min(actors, len(entries))
    total = max(1, manifest.rows)
    groups: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for place, entry in enumerate(entries):
        # By the middle of its rows; but no group stays empty.
        wanted = min(count - 1, (2 * before + entry.rows) * count // (2 * total))
        least = max(0, count - (len(entries) - place))
        last = max((at for at, group in enumerate(groups) if group), default=-1)
        groups[min(max(wanted, least), last + 1)].append(entry.number)
        before += entry.rows
    return [tuple(group) for group in groups]
