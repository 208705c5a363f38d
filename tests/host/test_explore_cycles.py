"""The explorer's cost model against the compiler and `host.cost`: equal, wherever it answers."""

import random

import pytest

from host import catalog
from host.compiler import compile
from host.cost import predict
from host.errors import LeptonError
from host.explore.cycles import BATCHES, DEPTHS, Evaluator
from host.quantization import quantize
from hw.config import Config, named
from hw.errors import ConfigError
from tests.e2e.test_networks import CONFIGS
from tests.host.networks import random_network


def answer(evaluate):
    """What came out, or why nothing did."""
    try:
        return evaluate()
    except LeptonError as error:
        return str(error)


def compiled(graph, cfg, batch):
    """The figures of `Cycles`, from a whole program."""
    program = compile(graph, cfg, batch=batch)
    counters = predict(program, BATCHES)
    return {
        "per_image": counters.cycles_per_image,
        "latency": counters.latency,
        "program_words": len(program.words),
        "weight_words": len(program.weights),
        "table_words": len(program.table),
        "scratchpad_bytes": program.scratchpad_used,
    }


def drawn(source):
    """A configuration for LeNet at batch 16, some too small for it."""
    while True:
        try:
            return Config(
                rows=source.randint(1, 32), cols=source.randint(1, 24),
                lanes=source.choice([1, 2, 4, 8]), weight_ports=source.choice([1, 2, 3, 5]),
                requantizers=source.choice([1, 2, 3]), acc_depth=source.choice([64, 256, 500]),
                result_depth=source.choice([4, 16, 64]), link_width=source.choice([8, 16, 32, 64]),
                product_registers=source.choice([1, 2, 3]), adder_tree=source.choice([0, 1]),
                serial_requant=source.choice([0, 0, 1]),
                scratchpad_bytes=source.choice([1 << 14, 1 << 15]), weight_depth=1 << 17,
                table_depth=source.choice([96, 4096]), program_depth=source.choice([200, 8192]),
                prefetch=source.choice([0, 1]),
            )  # fmt: skip
        except ConfigError:
            continue


@pytest.mark.parametrize("name", CONFIGS)
def test_cycles_of_random_networks_equal_the_compiled_program(name):
    compared = 0
    for seed in range(200, 212):
        module, inputs = random_network(seed)
        batch = (1, 2, 5)[seed % 3] * CONFIGS[name].lanes
        graph = quantize(module, inputs)
        expected = answer(lambda g=graph, b=batch: compiled(g, CONFIGS[name], b))
        found = answer(lambda g=graph, b=batch: vars(Evaluator(g, b)(CONFIGS[name])))
        if isinstance(expected, dict):
            assert found == expected, f"random_network({seed})"
            compared += 1
        else:
            assert isinstance(found, str), f"random_network({seed}): {expected}"
    assert compared >= 10


def test_cycles_of_random_configurations_equal_the_compiled_program():
    source, graph = random.Random(6), catalog.find("lenet-cifar10").quantize(16)
    evaluator = Evaluator(graph, 16)
    outcomes = []
    for _ in range(25):
        cfg = drawn(source)
        expected = answer(lambda c=cfg: compiled(graph, c, 16))
        found = answer(lambda c=cfg: vars(evaluator(c)))
        assert isinstance(found, str) == isinstance(expected, str), (cfg, found, expected)
        if isinstance(expected, dict):
            assert found == expected, cfg
        outcomes.append(isinstance(expected, dict))
    assert sum(outcomes) >= 5
    assert outcomes.count(False) >= 3


def test_memories_of_the_sizes_it_names_are_the_smallest_for_its_cycles():
    graph = catalog.find("lenet-cifar10").quantize(16)
    found = Evaluator(graph, 4)(named("default"))
    words = (found.weight_words, found.table_words, found.program_words)
    needs: dict[str, int] = dict(zip(DEPTHS, words, strict=True))
    compile(graph, named("default").with_fields(needs), batch=4)
    refused = 0
    for name, need in needs.items():
        smaller = named("default").with_fields({**needs, name: need - 1})
        less = answer(lambda cfg=smaller: compiled(graph, cfg, 4))
        if isinstance(less, dict):
            # Without folding, or without cuts, it fits and takes longer.
            assert less["per_image"] > found.per_image
        else:
            assert name in less
            refused += 1
    assert refused >= 2


def test_a_configuration_whose_memories_do_not_matter_is_answered_from_memory():
    evaluator = Evaluator(catalog.find("lenet5-mnist").quantize(16), 1)
    first = evaluator(named("default"))
    assert evaluator(named("default").with_fields({"weight_depth": 1 << 16})) == first
    assert evaluator.evaluations == 1
    evaluator(named("default").with_fields({"result_depth": 32}))
    assert evaluator.evaluations == 2


def test_lanes_that_the_batch_does_not_fill_are_refused():
    evaluator = Evaluator(catalog.find("lenet5-mnist").quantize(16), 3)
    with pytest.raises(LeptonError, match="a batch of 3 does not fill 2 lanes"):
        evaluator(named("default").with_fields({"lanes": 2}))
