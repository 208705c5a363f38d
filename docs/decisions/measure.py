"""The numbers of the decisions: PYTHONPATH=. .venv/bin/python docs/decisions/measure.py"""

from host import data, models
from host.compiler import compile, encode, jobs, steps
from host.compiler.dependencies import Allow
from host.driver import Session
from host.quantization import quantize
from hw.config import named

MODEL = "lenet-cifar10"
real_allow = encode.allow


def never_waits(bound: Allow) -> bool:
    """As much as the hardware keeps, for every pass."""
    return bound.start >= 511 and not (bound.per_slice or bound.per_kernel_row or bound.per_block)


def constant(history, step, tiling, job, tensor, image, limit) -> Allow:
    """One bound for all passes of a job: the smallest of the linear one."""
    bound = real_allow(history, step, tiling, job, tensor, image, limit)
    if never_waits(bound):
        return bound
    ends = [
        bound.start + s * bound.per_slice + k * bound.per_kernel_row + b * bound.per_block
        for s in (0, tiling.slices - 1)
        for k in (0, tiling.kernel_rows - 1)
        for b in (0, job.blocks - 1)
    ]
    return Allow(max(0, min(ends)), 0, 0, 0)


def drained(*arguments) -> Allow:
    """A job that reads what earlier ones wrote waits for all results."""
    bound = real_allow(*arguments)
    return bound if never_waits(bound) else Allow(0, 0, 0, 0)


def main() -> None:
    graph = quantize(models.load(MODEL), data.calibration(MODEL))
    info = models.MODELS[MODEL]
    images = data.normalize(data.sample(MODEL).pixels[:64], info.dataset).numpy()
    print(f"{MODEL}: {graph.macs:,} multiply-accumulates")
    for name in ("default", "wide"):
        cfg = named(name)
        for batch in (1, 16):
            print(f"\n{name}, batch {batch}, cycles per image")
            print(f"  {'multiply-accumulates / PEs':28}{graph.macs / cfg.pes:>10,.0f}")
            print(f"  {'vectors and weight loads':28}{passes(graph, cfg, batch):>10,.0f}")
            for title, allow in (
                ("linear bound", real_allow), ("constant bound", constant), ("drain", drained)
            ):  # fmt: skip
                encode.allow = allow
                program = compile(graph, cfg, batch=batch)
                with Session(program) as session:
                    session.run(images)
                    assert session.counters is not None
                    print(f"  {title:28}{session.counters.cycles_per_image:>10,.0f}", flush=True)
            encode.allow = real_allow
            print(f"  words of program{len(program.words):>22,}, {program.scratchpad_used:,} bytes")


def passes(graph, cfg, batch: int) -> float:
    """Cycles of an image if every pass took its vectors or its weights' load, and nothing else."""
    total = 0.0
    for step in steps.lower(graph, cfg.acc_width):
        window = step.window.kernel[0] * step.window.kernel[1]
        tiling = jobs.tile(step, cfg, batch)
        for job in tiling.jobs:
            one = max(job.rows * job.columns * window, cfg.load_cycles)
            cycles = one * job.tiles * job.blocks * tiling.passes_per_tile
            total += cycles / batch if step.vector else cycles
    return total


if __name__ == "__main__":
    main()
