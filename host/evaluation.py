"""Runs a shipped model on the hardware and compares every byte, for `lepton run`."""

import time

import numpy as np

from host import catalog, data, train
from host.compiler import compile
from host.data import Images
from host.datasets import DATASETS
from host.driver import Counters, Session
from host.errors import LeptonError
from host.integer_reference import reference
from host.layer_costs import LayerCost, layer_costs
from host.measurement import Difference, Experiment, Hardware, Measurement, Watcher
from host.program import Program
from host.qgraph import QGraph

CHUNK = 250
"""Images that the reference computes between two reports of progress."""


def measure(x: Experiment, watch: Watcher | None = None) -> Measurement:
    """Quantizes, compiles, streams and compares. LeptonError for what cannot be done."""
    watch = watch or Watcher()
    watch.begin(f"Quantizing {x.model}")
    model = catalog.find(x.model)
    images, source = _images(x, model.dataset)
    graph = model.quantize(x.config.multiplier_width)
    inputs = data.normalize(images.pixels, model.dataset).numpy()

    hardware = None
    layers = tuple(LayerCost(layer.name, layer.macs) for layer in graph.layers if layer.macs)
    if x.target == "reference":
        expected = _reference(graph, inputs, every_layer=False, watch=watch)
    else:
        program = compile(graph, x.config, batch=x.batch, layers=x.layers)
        watch.begin("Building the core")
        if x.workers is not None or x.scheduler is not None:
            expected, found, counters, wall_s = _on_workers(x, graph, program, inputs, watch)
        else:
            # Opened before the reference runs, so that what is missing shows at once.
            with Session(
                program, x.target, waves=x.waves, baud=x.baud, progress=watch.note
            ) as session:
                expected = _reference(graph, inputs, every_layer=x.layers, watch=watch)
                watch.begin("Streaming images through the core", len(images))
                start = time.perf_counter()
                found = session.run_layers(inputs, on_progress=watch.advance)
                wall_s = time.perf_counter() - start
                assert session.counters is not None
                counters = session.counters
        compared, wrong, difference = compare(found, expected)
        hardware = Hardware(
            accuracy=_accuracy(found[_last(program)], images),
            checked_bytes=compared,
            mismatched_bytes=wrong,
            difference=difference,
            counters=counters,
            wall_s=wall_s,
        )
        layers = layer_costs(program, counters)

    watch.begin("Running the float model")
    return Measurement(
        experiment=x,
        dataset=model.dataset,
        source=source,
        images=len(images),
        macs=graph.macs,
        float_accuracy=train.evaluate(model.module, images, model.dataset),
        reference_accuracy=_accuracy(expected[graph.layers[-1].name], images),
        layers=layers,
        hardware=hardware,
    )


def _on_workers(
    x: Experiment, graph: QGraph, program: Program, inputs: np.ndarray, watch: Watcher
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Counters, float]:
    """What the reference says, what several simulated cores say, their counters, the time."""
    from host.farm import Farm
    from host.workers import run_layers

    with Farm(x.workers, x.scheduler) as farm:
        expected = _reference(graph, inputs, every_layer=x.layers, watch=watch)
        watch.begin("Streaming images through the workers' cores", len(inputs))
        start = time.perf_counter()
        found, counters = run_layers(program, inputs, farm, watch.advance)
        return expected, found, counters, time.perf_counter() - start


def compare(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> tuple[int, int, Difference | None]:
    """Bytes compared, bytes different and the first of these; layers in order, int8 (N, ...)."""
    checked = sum(values.size for values in found.values())
    wrong = {name: values != expected[name] for name, values in found.items()}
    total = sum(int(np.count_nonzero(where)) for where in wrong.values())
    if not total:
        return checked, 0, None
    first = {
        name: int(np.argmax(where.reshape(len(where), -1).any(1)))
        for name, where in wrong.items()
        if where.any()
    }
    # The earliest layer of the earliest image: `min` keeps the order of the layers.
    name = min(first, key=lambda name: first[name])
    image = first[name]
    position = tuple(int(i) for i in np.argwhere(wrong[name][image])[0])
    got, right = found[name][image][position], expected[name][image][position]
    return checked, total, Difference(image, name, position, int(got), int(right))


def _images(x: Experiment, dataset: str) -> tuple[Images, str]:
    shipped = data.sample(dataset)
    wanted = len(shipped) if x.images is None else x.images
    if x.folder is None and wanted <= len(shipped):
        return shipped.first(wanted), "shipped with Lepton"
    images = data.load(dataset, "test", x.folder)
    if x.images is not None and x.images > len(images):
        title = DATASETS[dataset].title
        raise LeptonError(
            f"{x.images} images asked for, and the test set of {title} has {len(images)}"
        )
    return images.first(wanted), "test set" if x.folder is None else f"test set in {x.folder}"


def _reference(
    graph: QGraph, inputs: np.ndarray, *, every_layer: bool, watch: Watcher
) -> dict[str, np.ndarray]:
    """int8 outputs of the last layer, or of every one, by name."""
    watch.begin("Running the integer reference", len(inputs))
    names = [layer.name for layer in graph.layers]
    kept = names if every_layer else names[-1:]
    chunks = []
    for start in range(0, len(inputs), CHUNK):
        outputs = reference(graph, inputs[start : start + CHUNK], layers=True)
        assert isinstance(outputs, dict)
        chunks.append({name: outputs[name] for name in kept})
        watch.advance(min(start + CHUNK, len(inputs)))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in kept}


def _accuracy(logits: np.ndarray, images: Images) -> float:
    return float(np.mean(logits.argmax(1) == images.labels))


def _last(program: Program) -> str:
    return next(output.layer for output in program.outputs if output.final)
