"""What can be wrong with a simulated meter; switched while it runs."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(slots=True)
class Faults:
    """All off by default. Faults combine where that makes sense.

    What happens by chance is drawn from the meter's own seeded dice (setting `fault_seed`), so a
    run can be repeated.
    """

    # ---- answers

    silent: bool = False
    """Neither answers nor obeys."""
    loss_permille: int = 0
    """Requests of a thousand that are lost on the way: neither obeyed nor answered."""
    late_ms: int = 0
    """Answers this much later; the bus is free meanwhile, so the answer meets a later request."""
    slow_ms: int = 0
    """Answers this much later and keeps the bus busy meanwhile."""
    bad_checksum: bool = False
    """Over Modbus TCP, which has no checksum, the protocol number is wrong."""
    flip_permille: int = 0
    """Answers of a thousand with one bit flipped anywhere: noise on the line."""
    bad_data_permille: int = 0
    """Answers of a thousand with one bit of the value flipped under a valid checksum."""
    other_address: bool = False
    """The answer carries the address of another meter."""
    clash: bool = False
    """A device with the same address answers at the same time: bits of the answer get lost."""
    exception: int = 0
    """Refuses every request with this code (Modbus), error byte (DL/T 645) or status
    (CJ/T 188)."""
    noise: bool = False
    """Foreign bytes before each answer."""
    echo: bool = False
    """The request comes back before the answer, as on a two-wire adapter that hears itself."""
    half_frame: bool = False
    """Only the first half of each answer comes."""
    repeats: int = 0
    """Each answer comes this many times more."""
    hold_reads_after_write: bool = False
    """After the next relay command: obeys and acknowledges, then is silent to reads until off."""

    # ---- registers

    spike_wh: int = 0
    """Added to the total register (Wh, L) when it is read; negative makes it go down."""
    stuck: bool = False
    """The registers do not move while power flows."""
    reset: bool = False
    """The registers count from zero since this was switched on."""
    wrap_wh: int = 0
    """The registers start again from zero at each multiple of this (Wh, L)."""
    unit_factor: int = 0
    """The registers show this many times too much: 1000 is the kWh and Wh mistake."""
    low_battery: bool = False

    # ---- relay or valve

    welded: bool = False
    """Commands are acknowledged, the relay stays where it is; a valve reports a fault."""
    no_ack: bool = False
    """Commands are obeyed and not acknowledged."""
    bypass: bool = False
    """Power flows and is counted although the relay is open and says so."""
    bounce_ms: int = 0
    """The relay falls back this long after each commanded movement."""

    # ---- credit in the meter

    lose_credit: str = ""
    """`before`: credit commands get lost on the way to the meter; `after`: on the way back."""

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
            if type(value) is int and value < 0 and name != "spike_wh":
                raise ValueError(f"fault {name} is {value}, expected 0 or more")
        if changes.get("lose_credit", "") not in ("", "before", "after"):
            raise ValueError("fault lose_credit is neither before nor after nor empty")
        return changes

    def update(self, changes: dict) -> None:
        """Set some faults by name, after `checked`."""
        for name, value in changes.items():
            setattr(self, name, value)

    def active(self) -> dict:
        """Only the faults that are on."""
        return {name: value for name, value in asdict(self).items() if value}
