"""Why an exchange with a device did not give a value: one vocabulary for all protocols."""

from dataclasses import dataclass
from enum import Enum


class Outcome(str, Enum):
    """Result of one request to a device; the value is what logs and events store.

    The last two are not seen by a codec: the one who keeps the meter register reports them
    with the same words, so that every event of a meter draws on one list.
    """

    OK = "ok"
    TIMEOUT = "timeout"
    """Nothing that could be the answer arrived in time."""
    CRC = "crc"
    """An answer arrived and its checksum is wrong."""
    WRONG_UNIT = "wrong_unit"
    """A sound answer arrived, of another unit or address."""
    EXCEPTION = "exception"
    """The device refused; the error carries its code and what the code means."""
    MALFORMED = "malformed"
    """A sound frame with unusable content: bad BCD, wrong length, another data identifier."""
    UNKNOWN_ADDRESS = "unknown_address"
    """A device reported under an address that no meter is registered with."""

    def __str__(self) -> str:
        return self.value


@dataclass(slots=True, frozen=True)
class DeviceError:
    """A refusal by the device itself: `code` as sent, `meaning` in English."""

    code: int
    meaning: str

    def __str__(self) -> str:
        return f"{self.meaning} (code 0x{self.code:02X})"
