"""Features of the format that an index gets, or loses, in the middle of its life."""

from __future__ import annotations

from dataclasses import replace

from pqstore.storage.format import records
from pqstore.storage.format.state import Identity
from pqstore.storage.transactions.pending import PendingRecords

__all__ = ["declare_feature"]


def declare_feature(pending: PendingRecords, name: str, *, there: bool = True) -> None:
    """Who does not know the feature is told to leave the index alone; where it is there no more, that he need not."""
    identity = Identity.unpack(pending.get("meta", records.IDENTITY_KEY))
    if (name in identity.features) != there:
        others = tuple(feature for feature in identity.features if feature != name)
        features = (*others, name) if there else others
        pending.put("meta", records.IDENTITY_KEY, replace(identity, features=features).pack())
