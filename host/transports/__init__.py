"""Ways to reach hardware: each takes packets and gives packets back."""

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Transport(Protocol):
    """What the driver needs of a link. All times are up to the transport.

    Attributes
    ----------
    on_progress
        Is told, now and then during an `exchange`, how many packets have come.
    """

    on_progress: Callable[[int], None] | None

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """Sends 32-bit words, `last` marking those that end a packet, while collecting `packets`.

        Raises LeptonError, naming what it waited for, when nothing moves any more.
        """
        ...

    def cycles_to(self, packet: int) -> int | None:
        """Cycles from the first word that the core took of the last exchange to the end of a packet
        that it then sent; None where only the core sees cycles."""
        ...

    def close(self) -> None:
        """Lets go of the hardware."""
        ...
