"""The driver: loads a program into hardware, streams images through it and collects the outputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from host import packets
from host.errors import LeptonError
from host.packets import Words
from host.program import Program
from host.qgraph import Quantization
from host.transports import Transport
from host.transports.targets import open_target
from hw import isa
from hw.config import VERSION, Config
from hw.isa import Packet, Reply, Space


@dataclass(frozen=True)
class LayerCycles:
    """Counters of one step of the last batch of a run."""

    name: str
    macs: int
    """Of the whole batch."""
    counters: dict[str, int]
    """Keys of `isa.counters`."""


@dataclass(frozen=True)
class Counters:
    """What the hardware counted in the last run."""

    total: dict[str, int]
    """Keys of `isa.counters`, over the whole run; the cost model has all of `isa.COUNTERS`."""
    batches: int
    batch: int
    stamps: np.ndarray
    """int64 (batches,): the cycle in which each batch's output was read."""
    layers: tuple[LayerCycles, ...]
    """In the order of the program; empty for a core without a trace, or one too short."""
    latency: int | None = None
    """Cycles from the core taking the first word of input, its packet's header, to the host taking
    the last word of the first batch's output, its time stamp; None where only the core sees cycles.
    """

    def counted_by(self, config: Config) -> "Counters":
        """Those of them that a core of that configuration counts."""
        names = isa.counters(config)
        layers = (
            replace(layer, counters={name: layer.counters[name] for name in names})
            for layer in self.layers
        )
        return replace(self, total={name: self.total[name] for name in names}, layers=tuple(layers))

    @property
    def cycles(self) -> int:
        return self.total["cycles"]

    @property
    def cycles_per_image(self) -> float:
        """From the first batch's output to the last one's; of a single batch, the whole run."""
        if self.batches == 1:
            return self.cycles / self.batch
        return float(self.stamps[-1] - self.stamps[0]) / ((self.batches - 1) * self.batch)


class Session:
    """A program on hardware. Use it as a context manager; `run` as often as you like.

    `target` is "sim" for the Verilated core, "uart:PORT" for hardware at a serial port, with its
    `baud` rate, or a transport of your own. LeptonError when the hardware is not the one that the
    program was compiled for, or does not answer.
    """

    counters: Counters | None = None

    def __init__(
        self, program: Program, target: str | Transport = "sim", *, waves: str | Path | None = None,
        baud: int | None = None, progress: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.program = program
        if isinstance(target, str):
            path = None if waves is None else Path(waves)
            self.transport: Transport = open_target(
                target, program.config, waves=path, baud=baud, progress=progress
            )
        else:
            self.transport = target
        try:
            self._identify(program.config)
            self._load()
        except BaseException:
            self.transport.close()
            raise

    def run(
        self, images: np.ndarray, *, dequantize: bool = True,
        on_progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Outputs of all images, (N, *output shape): float32, or int8 without `dequantize`.

        Float images are quantized here; int8 ones are taken as they are. `on_progress` is told how
        many images are done.
        """
        final = next(o.layer for o in self.program.outputs if o.final)
        result = self.run_layers(images, on_progress=on_progress)[final]
        return self.program.output.dequantize(result) if dequantize else result

    def run_layers(
        self, images: np.ndarray, *, on_progress: Callable[[int], None] | None = None
    ) -> dict[str, np.ndarray]:
        """int8 (N, *shape) of every layer that the program sends; all of them if compiled so."""
        program = self.program
        values = as_int8(images, program.input_shape, program.input)
        count = len(values)
        batches = -(-count // program.batch)
        # The last batch is filled with images that nobody asked for.
        values = np.concatenate(
            (
                values,
                np.zeros_like(values, shape=(batches * program.batch - count, *values.shape[1:])),
            )
        )
        words = program.pack(values).ravel()
        start = packets.packet(
            Packet.RUN,
            [batches, program.slot_address, program.slot_bytes // 4, program.slots, len(words)],
        )
        per_batch = len(program.outputs)
        self.transport.on_progress = on_progress and (
            lambda n: on_progress(min(count, n // per_batch * program.batch))
        )
        # Input follows without a pause: between two exchanges a simulation stands still.
        self._exchange(start, 0)
        sent = packets.stream(words, program.config.packet_words)
        replies = self._exchange(sent, batches * per_batch + 1)
        latency = self.transport.cycles_to(per_batch - 1)
        packets.read(replies.pop(), Reply.DONE)
        outputs = [packets.read(reply, Reply.OUTPUT) for reply in replies]
        stamps = np.array([o[-1] for o in outputs[per_batch - 1 :: per_batch]], np.int64)
        self.counters = replace(self._counters(batches, stamps), latency=latency)
        return self._layers(outputs, batches, count)

    def close(self) -> None:
        """Lets go of the hardware."""
        self.transport.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _exchange(self, words: Words, count: int) -> list[np.ndarray]:
        return self.transport.exchange(words.words, words.last, count)

    def _identify(self, config: Config) -> None:
        """Refuses hardware that the program is not for."""
        (reply,) = self._exchange(packets.packet(Packet.ID), 1)
        magic, version, *words = (int(w) for w in packets.read(reply, Reply.ID))
        if magic != isa.MAGIC or version != VERSION:
            raise LeptonError(
                f"the hardware is no Lepton of version {VERSION}: {magic:#x}, {version}"
            )
        if len(words) != len(config.words()):
            raise LeptonError(
                f"the hardware has {len(words)} fields of configuration and not "
                f"{len(config.words())}; make it and the program with the same Lepton"
            )
        wrong = [
            f"{name} is {there} and should be {here}"
            for (name, here), there in zip(config.items(), words, strict=True)
            if here != there
        ]
        if wrong:
            raise LeptonError(f"the program is for other hardware: {', '.join(wrong)}")

    def _load(self) -> None:
        program, longest = self.program, self.program.config.packet_words
        sent = packets.write(Space.PROGRAM, 0, program.words.reshape(-1, 1), longest)
        sent += packets.write(Space.WEIGHTS, 0, program.weights, longest)
        sent += packets.write(Space.TABLE, 0, program.table, longest)
        for address, words, value in program.borders:
            filled = np.full((words, program.config.lanes), (value & 0xFF) * 0x01010101, np.uint32)
            sent += packets.write(Space.SCRATCHPAD, address // 4, filled, longest)
        # Writes are answered only when refused; the answer behind them says that they are done.
        (reply,) = self._exchange(sent + packets.packet(Packet.RESET), 1)
        packets.read(reply, Reply.RESET)

    def _counters(self, batches: int, stamps: np.ndarray) -> Counters:
        program, cfg = self.program, self.program.config
        names = isa.counters(cfg)
        (reply,) = self._exchange(packets.packet(Packet.COUNTERS), 1)
        final = packets.read(reply, Reply.COUNTERS).astype(np.int64)
        total = dict(zip(names, final.tolist(), strict=True))
        rows = len(program.instruction_layers)
        layers = ()
        if rows <= cfg.trace_depth:
            trace = np.concatenate((self._trace(rows), final[None]))
            spent = np.diff(trace, axis=0)
            by_layer = np.zeros((len(program.layers), len(names)), np.int64)
            np.add.at(by_layer, list(program.instruction_layers), spent)
            layers = tuple(
                LayerCycles(
                    info.name,
                    info.macs * program.batch,
                    dict(zip(names, row.tolist(), strict=True)),
                )
                for info, row in zip(program.layers, by_layer, strict=True)
            )
        return Counters(total, batches, program.batch, stamps, layers)

    def _trace(self, rows: int) -> np.ndarray:
        """Counters at the start of each layer instruction of the last batch: int64 (rows,
        counters)."""
        cfg = self.program.config
        row_words = isa.row_words(cfg, Space.TRACE)
        per_packet = cfg.packet_words // row_words
        pieces = []
        for row in range(0, rows, per_packet):
            count = min(per_packet, rows - row)
            (reply,) = self._exchange(packets.packet(Packet.READ, [row, count], Space.TRACE), 1)
            pieces.append(packets.read(reply, Reply.DATA).reshape(count, row_words))
        return np.concatenate(pieces).astype(np.int64)

    def _layers(self, outputs: list[np.ndarray], batches: int, count: int) -> dict[str, np.ndarray]:
        """Outputs of all batches put together, layer by layer."""
        program = self.program
        names = list(dict.fromkeys(o.layer for o in program.outputs))
        found = {}
        for name in names:
            where = [i for i, o in enumerate(program.outputs) if o.layer == name]
            form = program.outputs[where[0]]
            per_batch = len(program.outputs)
            words = np.stack(
                [outputs[b * per_batch + i][:-1] for b in range(batches) for i in where]
            )
            found[name] = form.unpack(words, program.config.lanes)[:count]
        return found


def as_int8(images: np.ndarray, shape: tuple[int, ...], quantization: Quantization) -> np.ndarray:
    """Images as the network takes them: int8 as they are, float quantized; else LeptonError."""
    images = np.asarray(images)
    if images.ndim != len(shape) + 1 or images.shape[1:] != shape or len(images) == 0:
        wanted = ", ".join(("N", *map(str, shape)))
        raise LeptonError(
            f"images have the shape {images.shape}; the network takes ({wanted}), N > 0"
        )
    if images.dtype == np.int8:
        return images
    if images.dtype not in (np.float32, np.float64):
        raise LeptonError(
            f"images are {images.dtype}; the network takes float32, or quantized int8"
        )
    if not np.isfinite(images).all():
        raise LeptonError("images hold a value that is not finite; the network takes real numbers")
    return quantization.quantize(images)
