"""hw/accumulator.py"""

import numpy as np
import pytest

from hw.accumulator import Accumulators
from hw.config import Config
from tests.hw.simulation import play

DELAY = Accumulators.LEAD + Accumulators.LATENCY
BUBBLE = {
    "valid": 0, "address": 0, "first": 0, "result": 0, "window_first": 0, "window_last": 0,
    "pool_sum": 0,
}  # fmt: skip


forms = pytest.mark.parametrize("tree", [0, 1], ids=["skewed", "in step"])


def order(address=0, **bits):
    return {**BUBBLE, "valid": 1, "address": address, **bits}


def result(**bits):
    """The only pass of a window of one."""
    return order(first=1, result=1, window_first=1, window_last=1, **bits)


def run(cfg, orders, sums):
    """For each order, and column, what is pushed `DELAY` cycles later, or None."""
    dut = Accumulators(cfg)
    cycles = len(orders) + DELAY + cfg.cols
    # Column c of the sum that belongs to order t comes in cycle t + LEAD + c.
    late = np.random.default_rng(seed=1).integers(-1000, 1000, (cycles, cfg.cols))
    skew = 0 if cfg.adder_tree else 1
    for t, vector in enumerate(sums):
        for c in range(cfg.cols):
            late[t + Accumulators.LEAD + c * skew, c] = vector[c]
    inputs = [(dut.order, orders), (dut.sums, late.tolist())]
    seen = play(dut, inputs, [dut.push, dut.pooled], cycles)
    came = []
    for t in range(len(orders)):
        at = [seen[t + DELAY + c * skew] for c in range(cfg.cols)]
        came.append([p[c] if push >> c & 1 else None for c, (push, p) in enumerate(at)])
    return came


def expected(orders, sums, cols):
    """The same from plain integers."""
    memory, pooled, out = {}, [0] * cols, []
    for o, vector in zip(orders, sums, strict=True):
        out.append([None] * cols)
        if not o["valid"]:
            continue
        before = [0] * cols if o["first"] else memory[o["address"]]
        total = [s + b for s, b in zip(vector, before, strict=True)]
        if not o["result"]:
            memory[o["address"]] = total
            continue
        if o["window_first"]:
            pooled = total
        elif o["pool_sum"]:
            pooled = [p + t for p, t in zip(pooled, total, strict=True)]
        else:
            pooled = [max(p, t) for p, t in zip(pooled, total, strict=True)]
        if o["window_last"]:
            out[-1] = pooled
    return out


def check(cfg, orders, sums):
    got = run(cfg, orders, sums)
    for t, (o, want) in enumerate(zip(orders, expected(orders, sums, cfg.cols), strict=True)):
        assert got[t] == want, f"cycle {t}, {o}"


@forms
@pytest.mark.parametrize("cols", [1, 2, 5], ids="cols={}".format)
def test_a_result_of_one_pass_comes_after_its_latency_and_a_cycle_later_per_column(cols, tree):
    cfg = Config(rows=1, cols=cols, adder_tree=tree)
    corner = 128 * 128
    sums = [[corner] * cols, [-corner] * cols, [0] * cols]
    assert run(cfg, [result(), result(), BUBBLE], sums) == [*sums[:2], [None] * cols]


@forms
@pytest.mark.parametrize("cols", [1, 3], ids="cols={}".format)
def test_sums_of_all_passes_add_up(cols, tree):
    cfg = Config(rows=8, cols=cols, acc_depth=5, adder_tree=tree)
    rng = np.random.default_rng(seed=cols)
    orders, count = [], 9
    for k in range(count):
        bits = {"first": k == 0}
        if k == count - 1:
            bits |= {"result": 1, "window_first": 1, "window_last": 1}
        orders += [order(address, **bits) for address in range(5)]
    sums = rng.integers(-(1 << 17), 1 << 17, (len(orders), cols)).tolist()
    got = run(cfg, orders, sums)
    assert got[-5:] == np.array(sums).reshape(count, 5, cols).sum(axis=0).tolist()
    assert got[:-5] == [[None] * cols] * (len(orders) - 5)


@forms
def test_vectors_for_one_address_may_follow_after_exactly_hazard_cycles(tree):
    cfg = Config(rows=4, cols=2, adder_tree=tree)
    others = Accumulators.HAZARD - 1
    orders, sums = [], []
    for k in range(6):
        last = {"result": 1, "window_first": 1, "window_last": 1} if k == 5 else {}
        orders += [
            order(7, first=k == 0, **last),
            *[order(100 + i, first=1) for i in range(others)],
        ]
        sums += [[1 << k, -(1 << k)], *[[99, 99]] * others]
    assert run(cfg, orders, sums)[-1 - others] == [63, -63]


@forms
def test_the_first_pass_forgets_what_the_accumulator_held(tree):
    cfg = Config(rows=1, cols=1, adder_tree=tree)
    orders = [
        order(3, first=1),
        BUBBLE,
        BUBBLE,
        BUBBLE,
        order(3, first=1, result=1, window_first=1, window_last=1),
    ]
    assert run(cfg, orders, [[1000], [5], [5], [5], [7]])[-1] == [7]


def window(values, **bits):
    """Orders of one window whose sums are complete at once."""
    last = len(values) - 1
    return [
        order(first=1, result=1, window_first=i == 0, window_last=i == last, **bits)
        for i in range(len(values))
    ], [[v] for v in values]


@forms
@pytest.mark.parametrize(
    "values",
    [[-5, -7, -6], [-9, -8], [1, 2, 3, 4], [4, 3, 2, 1], [-(1 << 14), 1 << 14], [0, 0], [7]],
)
def test_max_pool_keeps_the_largest_even_if_all_are_negative(values, tree):
    # The window before must not be remembered.
    orders, sums = (a + b for a, b in zip(window([16000]), window(values), strict=True))
    assert run(Config(rows=1, cols=1, adder_tree=tree), orders, sums)[-1] == [max(values)]


@forms
@pytest.mark.parametrize("values", [[-5, -7, 6], [1 << 14] * 4, [-(1 << 14)] * 9, [0, 0], [7]])
def test_sum_pool_adds(values, tree):
    before, after = window([16000]), window(values, pool_sum=1)
    orders, sums = (a + b for a, b in zip(before, after, strict=True))
    assert run(Config(rows=1, cols=1, adder_tree=tree), orders, sums)[-1] == [sum(values)]


@forms
@pytest.mark.parametrize("pool_sum", [0, 1])
def test_a_bubble_inside_a_pooling_window_changes_nothing(pool_sum, tree):
    """Regression: the pool took in whatever the array held in a cycle without a vector."""
    (first, second), sums = window([5, 9], pool_sum=pool_sum)
    bubbles = [
        {**result(pool_sum=pool_sum), "valid": 0, "window_first": f, "window_last": last}
        for f in (0, 1) for last in (0, 1)
    ]  # fmt: skip
    got = run(
        Config(rows=1, cols=1, adder_tree=tree),
        [first, *bubbles, second],
        [sums[0], *[[1000]] * 4, sums[1]],
    )
    assert got == [[None]] * 5 + [[14 if pool_sum else 9]]


@forms
@pytest.mark.parametrize("bubbles", [0.0, 0.3], ids="bubbles={}".format)
@pytest.mark.parametrize(("cols", "acc_width", "depth"), [(1, 24, 4), (3, 32, 17), (2, 40, 512)])
def test_random_orders(cols, acc_width, depth, bubbles, tree):
    cfg = Config(rows=3, cols=cols, acc_width=acc_width, acc_depth=depth, adder_tree=tree)
    rng = np.random.default_rng(seed=cols)
    orders, sums, touched, in_window, pool_sum = [], [], {}, 0, 0
    for t in range(600):
        bits = {
            n: int(rng.random() < 0.5) for n in ("first", "result", "window_first", "window_last")
        }
        address = int(rng.integers(0, depth))
        if rng.random() < bubbles or t - touched.get(address, -9) < Accumulators.HAZARD:
            orders.append({**BUBBLE, **bits, "address": address, "pool_sum": t % 2})
        else:
            if address not in touched:
                bits["first"] = 1
            if bits["result"]:
                if not in_window:
                    pool_sum = int(rng.random() < 0.5)
                bits["window_first"] = int(not in_window)
                bits["window_last"] |= in_window == 8
                in_window = 0 if bits["window_last"] else in_window + 1
            else:
                touched[address] = t
            orders.append(order(address, pool_sum=pool_sum, **bits))
        sums.append(rng.integers(-3 << 14, 3 << 14, cols).tolist())
    check(cfg, orders, sums)
