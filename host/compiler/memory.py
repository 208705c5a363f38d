"""The scratchpad plan: where tensors lie, and which may share their place.

A tensor lies as (height, width, channels) with the border that its reader wants around it. The
border is written once, when the program is loaded, so a tensor that has one shares its place with
no other.

A plan spends no more than it must to fit: two input slots and a place for each tensor; then tensors
share what is not in use at the same time; then one input slot, so that the next image waits; and at
last a layer writes over its own input, behind what it has read for good (`reach`). An image may
then lie under later tensors, too, and its slot is free again only behind the last layer that reads
one of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from host.compiler.jobs import Job, Tiling
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
    """The address of the first is 0: it is counted from its slot."""
    slots: int
    slot_address: int
    """Of the first slot; the others lie behind it."""
    slot_bytes: int
    release: int
    """The step behind which a slot is free: the last that reads anything in its bytes."""
    batched: int
    """The first step that runs once for the whole batch; all behind it do."""
    used: int
    """Bytes of the scratchpad."""
    in_place: bool
    """It depends on the tilings."""


class TooSmall(LeptonError):
    """The scratchpad does not hold the activations; `needed` bytes would do."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


SLOTS = 2
"""Input slots where there is room: one is filled while another is read."""


def plan(
    steps: Sequence[Step], found: Sequence[tuple[Step, Tiling]], cfg: Config, images: int, *,
    keep: bool = False,
) -> Plan:  # fmt: skip
    """Places all tensors of `steps`, which run as `found` says; `keep` forbids sharing.

    Raises TooSmall when nothing fits.
    """
    where = plan_apart(steps, cfg.scratchpad_bytes, images, keep=keep)
    if where is not None:
        return where
    attempts = list(_apart(steps, images, keep=keep))
    if not keep:
        attempts += _in_place(steps, found, images)
    for where in attempts:
        if where.used <= cfg.scratchpad_bytes:
            return where
    used = min(where.used for where in attempts)
    tensors = attempts[0].tensors
    largest = max(range(len(steps)), key=lambda i: tensors[i].bytes + tensors[i + 1].bytes)
    raise TooSmall(
        f"the activations need {used} bytes of scratchpad for {images} images in each lane, even "
        f"where {'there is one input slot' if keep else 'layers write over their input'}, and the "
        f"hardware has {cfg.scratchpad_bytes}; the largest layer is {steps[largest].name!r} with "
        f"{tensors[largest].bytes} bytes in and {tensors[largest + 1].bytes} out",
        used,
    )


def plan_apart(
    steps: Sequence[Step], scratchpad_bytes: int, images: int, *, keep: bool = False
) -> Plan | None:
    """The plan where it fits without a layer writing over its input: any tilings will do."""
    for where in _apart(steps, images, keep=keep):
        if where.used <= scratchpad_bytes:
            return where
    return None


def plan_room(steps: Sequence[Step], images: int) -> int:
    """Bytes of scratchpad of which it is known at once that no plan needs fewer."""
    latest, _ = _releases(steps, images)
    reaches = [0] * len(steps)
    return min(
        _place(steps, images, 1, share=True, release=release, reaches=reaches).used
        for release in range(latest)
    )


def reach(step: Step, tiling: Tiling, source: Tensor, target: Tensor) -> int:
    """How far the target may lie before its source, at the least, as a number from minus its size
    to 0: with ``target.address <= source.address + reach`` no byte is overwritten that is still to
    be read.

    Blocks run one after the other, with all of their tiles, kernel rows and slices. A block reads
    nothing below its first position, and what it writes comes many cycles behind the last read of
    the block before. So a block may write whatever lies below the first byte of itself and of all
    blocks to come. Within a block nothing is assumed of the order.
    """
    begins, ends = zip(*_blocks(step, tiling, source, target), strict=True)
    found, first = 0, begins[-1]
    for begin, end in zip(reversed(begins), reversed(ends), strict=True):
        first = min(first, begin)
        found = min(found, first - end)
    return found // 4 * 4


def _blocks(
    step: Step, tiling: Tiling, source: Tensor, target: Tensor
) -> Iterator[tuple[int, int]]:
    """In the order in which they run: the first byte of the source that each block reads, and the
    end of what it writes in the target."""
    channels_in, channels_out = step.input_shape[2], step.output_shape[2]
    (hop_y, hop_x), (stride_y, stride_x) = step.window.stride, step.stride
    x_in = source.stride if step.vector else hop_x * stride_x * channels_in
    x_out = target.stride if step.vector else channels_out

    def rows(job: Job) -> Iterator[tuple[int, int]]:
        for block in range(job.blocks):
            first = job.first_row + block * job.rows
            yield first, first + job.rows - 1

    for job in tiling.jobs:
        columns_end = min(channels_out, (job.first_tile + job.tiles) * tiling.tile_cols)
        last_column = job.first_column + job.columns - 1
        for first, last in rows(job):
            yield (
                first * hop_y * stride_y * source.pitch + job.first_column * x_in,
                last * target.pitch + last_column * x_out + columns_end,
            )


def _tensors(steps: Sequence[Step], images: int, batched: int) -> list[Tensor]:
    tensors = []
    for i in range(len(steps) + 1):
        reader = steps[i] if i < len(steps) else None
        shape = reader.input_shape if i == 0 and reader else steps[i - 1].output_shape
        # What a batch reads or writes at once lies behind each other; so does the output.
        whole = images if i >= batched else 1
        border = reader.padding if reader else NO_PADDING
        tensors.append(Tensor(shape, border, reader.padding_value if reader else 0, whole))
    return tensors


def _batched(steps: Sequence[Step]) -> int:
    return next((i for i in range(len(steps)) if all(s.vector for s in steps[i:])), len(steps))


def _releases(steps: Sequence[Step], images: int) -> tuple[int, int]:
    """Behind how many steps a slot may be released, and the first that runs once for the batch:
    that one comes too late for the other images of it."""
    batched = _batched(steps)
    return (len(steps) if images == 1 or not batched else batched), batched


def _apart(steps: Sequence[Step], images: int, *, keep: bool) -> Iterator[Plan]:
    """Plans in which no layer writes over its input, the best first."""
    yield _place(steps, images, SLOTS, share=False)
    if not keep:
        yield _place(steps, images, SLOTS, share=True)
    yield _place(steps, images, 1, share=not keep)


def _in_place(
    steps: Sequence[Step], found: Sequence[tuple[Step, Tiling]], images: int
) -> Iterator[Plan]:
    """Plans in which layers may write over their input, the earliest release first."""
    latest, batched = _releases(steps, images)
    tensors = _tensors(steps, images, batched)
    reaches = [reach(*found[i], tensors[i], tensors[i + 1]) for i in range(len(steps))]
    for release in range(latest):
        yield _place(steps, images, 1, share=True, release=release, reaches=reaches)


def _place(
    steps: Sequence[Step], images: int, slots: int, *, share: bool, release: int = 0,
    reaches: Sequence[int] | None = None,
) -> Plan:  # fmt: skip
    """Addresses by first fit, of what is always there, then from the last tensor to the first."""
    batched = _batched(steps)
    tensors = _tensors(steps, images, batched)
    lives = _lives(tensors, images, batched, release, share=share)
    last = len(steps)
    always = [i for i in range(last + 1) if len(lives[i]) == last + 1]
    sizes = [tensors[0].bytes * slots, *(t.bytes for t in tensors[1:])]
    placed: dict[int, int] = {}
    for i in [*always, *(i for i in range(last, -1, -1) if i not in always)]:
        busy = []
        for other, begin in placed.items():
            common = lives[i] & lives[other]
            if common == {i} and other == i + 1 and reaches is not None:
                # Its target, which may begin below it.
                busy.append((begin, begin - reaches[i]))
            elif common:
                busy.append((begin, begin + sizes[other]))
        address = 0
        for begin, stop in sorted(busy):
            if address + sizes[i] <= begin:
                break
            address = max(address, stop)
        placed[i] = address
    return Plan(
        tensors=tuple(replace(t, address=placed[i] if i else 0) for i, t in enumerate(tensors)),
        slots=slots,
        slot_address=placed[0],
        slot_bytes=tensors[0].bytes,
        release=release,
        batched=batched,
        used=max(placed[i] + sizes[i] for i in placed),
        in_place=reaches is not None,
    )


def _lives(
    tensors: Sequence[Tensor], images: int, batched: int, release: int, *, share: bool
) -> list[set[int]]:
    """The steps during which each tensor holds what is not to be lost: from the one that writes it
    to the one that reads it; of the input slots, those that read them, or fill them again."""
    last = len(tensors) - 1
    always = set(range(last + 1))
    lives = [{0} | {step for step in always if step > release}]
    for i, tensor in enumerate(tensors[1:], 1):
        if not share or any(tensor.border) or i == last:
            lives.append(always)
        elif i == batched and images > 1:
            # All images pass by before the batch reads it.
            lives.append(set(range(i + 1)))
        else:
            lives.append({i - 1, i})
    return lives
