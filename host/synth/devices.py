"""The FPGAs that Lepton is built for: what they have and how the tools are told which they are."""

from dataclasses import dataclass, replace

from host.errors import LeptonError
from hw.boards import Board
from hw.target import TARGETS, Target


@dataclass(frozen=True, kw_only=True)
class Device:
    """One part in one package and speed grade."""

    name: str
    part: str
    """Key of `hw.target.TARGETS`."""
    luts: int
    """LUTs of four inputs; on iCE40 logic cells, of a LUT, a carry and a flip-flop each."""
    brams: int
    sprams: int
    synthesis: str
    """The Yosys command."""
    memories: tuple[str, ...] = ()
    """Yosys commands that map memories, before the design is flattened: each looks through the
    module that it is in, and in a whole core that takes a second for each memory."""
    close_block_rams: tuple[str, ...] = ()
    """Sites of block RAMs side by side, for those that control logic reads."""
    multiplier_rows: tuple[tuple[str, ...], ...] = ()
    """Sites of multiplier blocks, row by row and from left to right."""
    place: tuple[str, ...]
    """Options of nextpnr that name the part."""
    megahertz: float
    """The frequency that place and route aims at when none is asked for."""

    @property
    def target(self) -> Target:
        """The part as gateware sees it."""
        return TARGETS[self.part]

    @property
    def family(self) -> str:
        """``ice40`` or ``ecp5``."""
        return self.target.family

    @property
    def available(self) -> dict[str, int]:
        """How many there are of each resource."""
        return {
            "luts": self.luts,
            "ffs": self.luts,
            "dsps": self.target.multipliers,
            "brams": self.brams,
            "sprams": self.sprams,
        }


ECP5_MEMORIES = (
    "memory -nomap",
    "memory_libmap -lib +/lattice/lutrams_trellis.txt -lib +/lattice/brams_16kd.txt",
    "techmap -map +/lattice/lutrams_map_trellis.v -map +/lattice/brams_map_16kd.v",
)
"""What `synth_ecp5` does with them."""


def mapped(command: str, *, wire: int) -> str:
    """Yosys' commands, with what decides which ways are made short.

    Most of a path is wires: a wire is taken to cost `wire` picoseconds, where Yosys thinks of an
    empty part. The steps are those of its ``abc9.script.flow2``, which maps four times and keeps
    the best.
    """
    mapping = f"&if -m -W {wire} {{D}} {{R}} -v; &mfs; &save"
    steps = (
        f"+&scorr; &sweep; &synch2 -K 6 -C 500; {mapping}; &dch -C 500; {mapping}; &load; &st; "
        f"&sopb -R 10 -C 4; &synch2 -K 6 -C 500; {mapping}; &dch -C 500; {mapping}; &load"
    )
    return f'scratchpad -set abc9.script "{steps}"; {command}'


def multiplier_row(y: int, groups: tuple[int, ...]) -> tuple[str, ...]:
    """Sites of a row of multiplier blocks, of which four stand together, from those columns on."""
    return tuple(f"X{x + offset}/Y{y}/MULT18_{offset}" for x in groups for offset in (0, 1, 4, 5))


DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device(
            name="up5k",
            part="iCE40UP5K",
            luts=5280,
            brams=30,
            sprams=4,
            # Without -dsp: the array has the blocks, two products in each, which Yosys cannot do.
            synthesis=mapped("synth_ice40 -device u -abc9", wire=2500),
            place=("--up5k", "--package", "sg48"),
            megahertz=48,
        ),
        Device(
            name="ecp5-25k",
            part="LFE5U-25F",
            luts=24288,
            brams=56,
            sprams=0,
            synthesis=mapped("synth_ecp5", wire=1500),
            memories=ECP5_MEMORIES,
            multiplier_rows=(multiplier_row(13, (4, 13, 22, 33, 42, 51, 60)),),
            place=("--25k", "--package", "CABGA381", "--speed", "6"),
            megahertz=150,
        ),
        Device(
            name="ecp5-85k",
            part="LFE5U-85F",
            luts=83640,
            brams=208,
            sprams=0,
            synthesis=mapped("synth_ecp5", wire=1500),
            memories=ECP5_MEMORIES,
            close_block_rams=tuple(
                f"X{x}/Y46/EBR{i % 4}"
                for i, x in enumerate((69, 71, 73, 75, 78, 80, 82, 84, 87, 89, 91, 93))
            ),
            multiplier_rows=tuple(
                multiplier_row(y, (*range(4, 67, 9), *range(69, 123, 9))) for y in (10, 34, 58)
            ),
            place=("--85k", "--package", "CABGA381", "--speed", "6"),
            megahertz=150,
        ),
    )
}


def device(name: str) -> Device:
    """The device of that name; an unknown one is refused with those there are."""
    if name not in DEVICES:
        raise LeptonError(f"no device is named {name!r}; there are {', '.join(DEVICES)}")
    return DEVICES[name]


def on_board(chosen: Board) -> Device:
    """The device of a board, in the board's package and speed grade."""
    found = device(chosen.device)
    platform = chosen.make_platform()
    if found.family == "ice40":
        place = ("--up5k", "--package", platform.package.lower())
    else:
        package = platform._nextpnr_package_options[platform.package].upper()
        size = platform._nextpnr_device_options[platform.device]
        place = (size, "--package", package, "--speed", platform.speed)
    assert platform.device == found.part, f"{chosen.name} has another part than {found.name}"
    return replace(found, place=place)
