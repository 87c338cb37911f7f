"""What the Modbus register maps have in common.

A map is a module with three functions: `registers(meter)` gives all readable registers with their
present values; `write(meter, written)` obeys {address: value} and returns the exception code, 0
when all of it was obeyed; `is_credit(meter, written)` says whether a request tops up.
"""

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, NO_ANSWER = 1, 2, 3, 11


def words(value: int, count: int) -> list[int]:
    """16-bit words, high word first; what does not fit rolls over."""
    return [value >> 16 * i & 0xFFFF for i in range(count - 1, -1, -1)]


def place(found: dict[int, int], address: int, *values: int, size: int = 1) -> None:
    """Put values of `size` registers each into a map, one behind the other."""
    for value in values:
        for word in words(value, size):
            found[address] = word
            address += 1


def pick(written: dict[int, int], address: int, size: int = 1) -> int | None:
    """Value of `size` registers that a request writes whole; None when it does not."""
    if any(address + i not in written for i in range(size)):
        return None
    return sum(written[address + i] << 16 * (size - 1 - i) for i in range(size))
