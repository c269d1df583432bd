"""What was made of files lately, so that it need not be made again."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by name, the least recently used going first where they would take too much memory.

    Args:
        limit_bytes: all values together take no more, unless a single one does.
        size_of: tells the size of a value in bytes.
    """

    def __init__(self, limit_bytes: int, size_of: Callable[[T], int]) -> None:
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._values: OrderedDict[str, T] = OrderedDict()
        self._size_bytes = 0

    def get(self, name: str, make: Callable[[], T]) -> T:
        """Returns a value that is at hand, or makes it; what ``make`` raises goes through."""
        if name in self._values:
            self._values.move_to_end(name)
            return self._values[name]
        value = make()
        self._values[name] = value
        self._size_bytes += self._size_of(value)
        while self._size_bytes > self._limit_bytes and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self._size_bytes -= self._size_of(oldest)
        return value
