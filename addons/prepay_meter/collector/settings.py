"""Settings and credit of meters: what is wished and not yet reported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    key: object
    meter_id: int
    gateway_id: int


async def due(connection, gateway_ids: list[int]) -> list[Task]:
    return []


async def carry_out(task: Task, meter, ask, store) -> None:
    return None
