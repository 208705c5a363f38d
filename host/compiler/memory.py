"""The scratchpad plan: where tensors lie, and which may share their place.

A tensor lies as (height, width, channels) with the border that its reader wants around it. The
border is written once, when the program is loaded, so a tensor that has one shares its place with
no other.
"""

from dataclasses import dataclass, replace

from host.compiler.steps import NO_PADDING, Step
from host.errors import LeptonError
from hw.config import Config


@dataclass(frozen=True)
class Tensor:
    """An activation tensor in the scratchpad; `count` of them lie behind each other."""

    shape: tuple[int, int, int]
    """(height, width, channels) without the border."""
    border: tuple[int, int, int, int]
    """Positions added at (top, bottom, left, right)."""
    border_value: int
    count: int
    address: int = 0

    @property
    def pitch(self) -> int:
        """Bytes from a row to the next."""
        return (self.shape[1] + self.border[2] + self.border[3]) * self.shape[2]

    @property
    def stride(self) -> int:
        """Bytes from one of `count` to the next."""
        return (self.shape[0] + self.border[0] + self.border[1]) * self.pitch

    @property
    def bytes(self) -> int:
        """All of them, in whole words."""
        return -(-self.stride * self.count // 4) * 4

    @property
    def inner(self) -> int:
        """Offset of the first byte within the border."""
        return self.border[0] * self.pitch + self.border[2] * self.shape[2]


@dataclass(frozen=True)
class Plan:
    """Tensors of a program: `tensors[0]` is an input slot, ``tensors[i + 1]`` what step ``i``
    writes."""

    tensors: tuple[Tensor, ...]
    slots: int
    slot_bytes: int
    batched: int
    """The first step that runs once for the whole batch; all behind it do."""
    used: int
    """Bytes of the scratchpad."""


SLOTS = 2
"""Input slots: one is filled while another is read."""


def plan(steps: list[Step], cfg: Config, images: int, *, keep: bool = False) -> Plan:
    """Places all tensors, each for itself while there is room, else sharing; `keep` forbids
    sharing.

    Raises LeptonError when the scratchpad is too small.
    """
    batched = next((i for i in range(len(steps)) if all(s.vector for s in steps[i:])), len(steps))
    tensors = []
    for i in range(len(steps) + 1):
        reader = steps[i] if i < len(steps) else None
        shape = reader.input_shape if i == 0 and reader else steps[i - 1].output_shape
        # What a batch reads or writes at once lies behind each other; so does the output.
        whole = images if i >= batched else 1
        border = reader.padding if reader else NO_PADDING
        tensors.append(Tensor(shape, border, reader.padding_value if reader else 0, whole))
    slot_bytes = tensors[0].bytes
    for share in (False,) if keep else (False, True):
        placed, used = _place(tensors, slot_bytes, batched, share=share)
        if used <= cfg.scratchpad_bytes:
            return Plan(tuple(placed), SLOTS, slot_bytes, batched, used)
    largest = max(range(len(steps)), key=lambda i: tensors[i].bytes + tensors[i + 1].bytes)
    raise LeptonError(
        f"the activations need {used} bytes of scratchpad for {images} images in each lane and the "
        f"hardware has {cfg.scratchpad_bytes}; the largest layer is {steps[largest].name!r} with "
        f"{tensors[largest].bytes} bytes in and {tensors[largest + 1].bytes} out"
    )


def _place(
    tensors: list[Tensor], slot_bytes: int, batched: int, *, share: bool
) -> tuple[list[Tensor], int]:
    """Addresses by first fit. Tensor ``i`` lives from step ``i - 1``, which writes it, to step
    ``i``."""
    taken: list[tuple[int, int, int, int]] = []
    end = SLOTS * slot_bytes
    placed = [tensors[0]]
    last = len(tensors) - 1
    for i, tensor in enumerate(tensors[1:], 1):
        first, until = i - 1, i
        if i == batched:
            # All images pass by before the batch reads it.
            first = 0
        if not share or any(tensor.border) or i == last:
            first, until = 0, last
        address = SLOTS * slot_bytes
        busy = sorted((a, e) for a, e, f, u in taken if f <= until and first <= u)
        for begin, stop in busy:
            if address + tensor.bytes <= begin:
                break
            address = max(address, stop)
        taken.append((address, address + tensor.bytes, first, until))
        placed.append(replace(tensor, address=address))
        end = max(end, address + tensor.bytes)
    return placed, end
