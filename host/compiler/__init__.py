"""Compiler: an integer network and a configuration to a program."""

from itertools import pairwise

import numpy as np

from host.compiler import encode
from host.compiler.choices import choices
from host.compiler.dependencies import History
from host.compiler.folding import fitted
from host.compiler.jobs import Tiling
from host.compiler.memory import Plan, Tensor, TooSmall, plan
from host.compiler.steps import Step, lower, permute_flattened
from host.compiler.tapering import tapered
from host.errors import LeptonError
from host.program import LayerInfo, Output, Program
from host.qgraph import QGraph
from hw import isa
from hw.config import Config


def compile(
    graph: QGraph, config: Config, *, batch: int | None = None, layers: bool = False,
    folding: bool = True,
) -> Program:  # fmt: skip
    """The program that runs `batch` images of the network at a time, as many in each lane; one in
    each if not given.

    With `layers` it sends what every step computes, for comparison, and takes longer. Without
    `folding` columns stay idle where a layer has few channels. Raises LeptonError, with the layer
    and both numbers, for what does not fit the hardware.
    """
    if batch is None:
        batch = config.lanes
    if batch < 1:
        raise LeptonError(f"a batch has at least one image, not {batch}")
    if batch % config.lanes:
        raise LeptonError(
            f"a batch of {batch} does not fill {config.lanes} lanes evenly; use a batch of "
            f"{-(-batch // config.lanes) * config.lanes}"
        )
    images = batch // config.lanes
    steps = lower(graph, config.acc_width)
    for i, (before, step) in enumerate(pairwise(steps), 1):
        if before.flattened:
            steps[i] = permute_flattened(step, before.output_shape)
    check_multipliers(steps, config)
    refused: LeptonError | None = None
    for found in choices(
        len(steps),
        lambda i, fold: fitted(steps[i], config, images, folding=fold and folding),
        lambda found: tapered(found, config),
    ):
        as_run, tilings = [step for step, _ in found], [tiling for _, tiling in found]
        try:
            where = plan(steps, found, config, images, keep=layers)
            return _Assembly(graph, config, images, layers, as_run, tilings, where).program()
        except LeptonError as error:
            refused = least(refused, error)
    assert refused is not None
    raise refused


def least(before: LeptonError | None, error: LeptonError) -> LeptonError:
    """Of two refusals the one that asks for less scratchpad; else the later one."""
    if isinstance(before, TooSmall) and isinstance(error, TooSmall):
        return min(before, error, key=lambda e: e.needed)
    return error


def check_multipliers(steps: list[Step], config: Config) -> None:
    """Refuses a network that was quantized for wider multipliers than there are."""
    for step in steps:
        widest = int(step.requant.multiplier.max()).bit_length()
        if widest > config.multiplier_width:
            raise LeptonError(
                f"layer {step.name!r} has multipliers of {widest} bits and the hardware has "
                f"multiplier_width={config.multiplier_width}; quantize with that width"
            )


class _Assembly:
    """Puts the words of a program together, for so many images in each lane."""

    def __init__(
        self, graph: QGraph, config: Config, images: int, layers: bool, steps: list[Step],
        tilings: list[Tiling], where: Plan,
    ) -> None:  # fmt: skip
        self.graph, self.config, self.images, self.layers = graph, config, images, layers
        self.steps, self.tilings, self.plan = steps, tilings, where
        self.words: list[int] = []
        self.instruction_steps: list[int] = []
        self.outputs: list[Output] = []
        self.history = History()
        self._memories()

    def program(self) -> Program:
        for image in range(self.images if self.plan.batched else 0):
            for i in range(self.plan.batched):
                self._step(i, image)
        for i in range(self.plan.batched, len(self.steps)):
            self._step(i, 0)
        self.words += isa.encode(isa.Op.END)
        self._check("program_depth", len(self.words), "words of program", "use a smaller batch")
        first = self.plan.tensors[0]
        return Program(
            config=self.config,
            batch=self.images * self.config.lanes,
            words=np.array(self.words, np.uint32),
            weights=self.weights,
            table=self.table,
            borders=self._borders(),
            slots=self.plan.slots,
            slot_address=self.plan.slot_address,
            slot_bytes=self.plan.slot_bytes,
            images_per_slot=first.count,
            input_map=first.shape,
            input_shape=self.graph.input_shape,
            input_border=first.border,
            input_border_value=first.border_value,
            input=self.graph.input,
            output=self.graph.output,
            output_shape=self.graph.output_shape,
            outputs=tuple(self.outputs),
            layers=tuple(LayerInfo(s.name, s.layers, s.macs, s.weights) for s in self.steps),
            instruction_layers=tuple(self.instruction_steps),
            scratchpad_used=self.plan.used,
            info={**self.graph.info},
        )

    def _memories(self) -> None:
        """Weights and tables; jobs of the same tiles share theirs."""
        weights, tables = [], []
        self.weight_base: dict[tuple[int, int, int], int] = {}
        self.table_base: list[int] = []
        weight_count = table_count = 0
        for i, (step, tiling) in enumerate(zip(self.steps, self.tilings, strict=True)):
            for job in tiling.jobs:
                key = i, job.first_tile, job.tiles
                if key not in self.weight_base:
                    self.weight_base[key] = weight_count
                    weights.append(encode.weight_rows(step, tiling, job, self.config))
                    weight_count += len(weights[-1])
            self.table_base.append(table_count)
            tables.append(encode.table_rows(step, tiling, self.config))
            table_count += len(tables[-1])
        self.weights, self.table = np.concatenate(weights), np.concatenate(tables)
        self._check("weight_depth", weight_count, "words of weights", "prune the network")
        self._check("table_depth", table_count, "words of requantization table", "prune it")

    def _check(self, name: str, need: int, what: str, hint: str) -> None:
        have = getattr(self.config, name)
        if need > have:
            raise LeptonError(
                f"the network needs {need} {what} and the hardware has {name}={have}; "
                f"{hint} or set {name}={need}"
            )

    def _step(self, i: int, image: int) -> None:
        """All jobs of a step, for one image or for the batch."""
        step, tiling = self.steps[i], self.tilings[i]
        source, target = self.plan.tensors[i], self.plan.tensors[i + 1]
        last_step = i == len(self.steps) - 1
        last_image = step.vector or image == self.images - 1
        source_image = image if source.count > 1 and not step.vector else 0
        target_image = image if target.count > 1 and not step.vector else 0
        for number, job in enumerate(tiling.jobs):
            first, last = number == 0, number == len(tiling.jobs) - 1
            fields = encode.layer_fields(step, tiling, job, source, target, self.config)
            fields["source"] += source_image * source.stride
            fields["target"] += target_image * target.stride
            releases = last and i == self.plan.release
            bound = encode.allow(
                self.history, step, tiling, job, i, source_image, isa.allow_limit(self.config),
                whole=releases,
            )  # fmt: skip
            # A tensor that holds a whole batch is sent once, when all of it is there.
            complete = last_image or target.count == 1
            emits = last and complete and (self.layers or last_step)
            if emits:
                self._output(step, target, last_image and last_step)
            fields |= encode.allow_fields(bound, tiling)
            fields |= {
                "src_input": int(i == 0),
                "wait_input": int(i == 0 and first),
                "release_input": int(releases),
                # What is being sent must not change: with `layers` that may be anything.
                "wait_emit": int(self.layers or (last_step and first)),
                "weights": self.weight_base[i, job.first_tile, job.tiles],
                "table": self.table_base[i]
                + encode.table_row_of(tiling, job.first_tile, self.config),
                "emit_source": target.address if emits else 0,
                "emit_words": target.bytes // 4 if emits else 0,
            }
            misfit = isa.misfit(self.config, fields)
            if misfit:
                raise LeptonError(f"layer {step.name!r} needs {misfit}")
            self.words += isa.encode(isa.Op.LAYER, **fields)
            encode.record(self.history, step, tiling, job, i + 1, target, target_image)
            self.instruction_steps.append(i)

    def _output(self, step: Step, target: Tensor, final: bool) -> None:
        # The packet has one word more, and its header 16 bits for their number.
        most = 4 * ((1 << 16) - 2)
        size = target.bytes * self.config.lanes
        if size > most:
            raise LeptonError(
                f"the output of {step.name!r} is {size} bytes at batch "
                f"{self.images * self.config.lanes}, more "
                f"than the {most} of one packet; use a smaller batch"
            )
        self.outputs.append(
            Output(
                layer=step.layers[-1],
                shape=target.shape,
                border=target.border,
                count=target.count,
                graph_shape=step.graph_shape,
                final=final,
            )
        )

    def _borders(self) -> tuple[tuple[int, int, int], ...]:
        """(address, words, value of each byte) to fill when the program is loaded."""
        return tuple(
            (t.address, t.bytes // 4, t.border_value)
            for t in self.plan.tensors[1:]
            if any(t.border)
        )
