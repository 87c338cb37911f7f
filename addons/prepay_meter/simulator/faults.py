"""What can be wrong with a simulated meter; switched while it runs."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(slots=True)
class Faults:
    """All off by default. Faults combine where that makes sense."""

    silent: bool = False
    """Neither answers nor obeys."""
    late_ms: int = 0
    """Answers this much later; the bus is free meanwhile, so the answer meets a later request."""
    bad_checksum: bool = False
    other_address: bool = False
    """The answer carries the address of another meter."""
    exception: int = 0
    """Refuses every request with this code (Modbus) or error byte (DL/T 645)."""
    spike_wh: int = 0
    """Added to the total register when it is read; negative makes it go down."""
    stuck: bool = False
    """The registers do not move while power flows."""
    welded: bool = False
    """Commands are acknowledged, the relay stays where it is."""
    no_ack: bool = False
    """Commands are obeyed and not acknowledged."""
    noise: bool = False
    """Foreign bytes before each answer."""
    hold_reads_after_write: bool = False
    """After the next relay command: obeys and acknowledges, then is silent to reads until off."""

    def checked(self, changes: Any) -> dict:
        """`changes` when every name is a fault and every value of its type.

        :raises ValueError: otherwise
        """
        if not isinstance(changes, dict):
            raise ValueError(f"faults {changes!r} is not an object")
        kinds = {field.name: field.type for field in fields(self)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"fault {name!r} is none of {', '.join(kinds)}")
            if type(value) is not kinds[name]:
                raise ValueError(f"fault {name} is {value!r}, expected {kinds[name].__name__}")
        return changes

    def update(self, changes: dict) -> None:
        """Set some faults by name, after `checked`."""
        for name, value in changes.items():
            setattr(self, name, value)

    def active(self) -> dict:
        """Only the faults that are on."""
        return {name: value for name, value in asdict(self).items() if value}
