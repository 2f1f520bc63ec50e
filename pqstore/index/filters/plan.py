"""How a filter is answered: which part by columns of indexed fields, which part by reading payloads."""

from __future__ import annotations

from dataclasses import dataclass

from pqstore.index.filters.tree import All, Condition, fields_of

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows allowed are those that both halves allow; None allows all."""

    indexed: Condition | None
    """Reads indexed fields only."""
    scanned: Condition | None
    """Reads at least one field without an index, from payloads of the rows that the first half allows."""


def plan(condition: Condition, indexed_fields: frozenset[str]) -> Plan:
    """Divide a condition: parts that must all hold can be answered apart."""
    parts = condition.conditions if isinstance(condition, All) else (condition,)
    indexed = tuple(part for part in parts if indexed_fields.issuperset(fields_of(part)))
    scanned = tuple(part for part in parts if not indexed_fields.issuperset(fields_of(part)))
    return Plan(_joined(indexed), _joined(scanned))


def _joined(parts: tuple[Condition, ...]) -> Condition | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else All(parts)
