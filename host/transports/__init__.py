"""Ways to reach hardware: each takes packets and gives packets back."""

from typing import Protocol

import numpy as np


class Transport(Protocol):
    """What the driver needs of a link. All times are up to the transport."""

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """Sends 32-bit words, `last` marking those that end a packet, while collecting `packets`.

        Raises LeptonError, naming what it waited for, when nothing moves any more.
        """
        ...

    def close(self) -> None:
        """Lets go of the hardware."""
        ...
