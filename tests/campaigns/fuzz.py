"""``make fuzz``: packets of a grammar, good and damaged, on links of every width, under stalls.

Every reply is compared with a model of the packets, and every memory after each round. A hang is a
difference, too: the simulated core says that nothing moves.
"""

import argparse
import sys
import time
from collections import Counter

from hw.config import LINK_WIDTHS
from sim import build
from sim.device import Stall, Stalls
from tests.campaigns import records
from tests.e2e.packet_grammar import ROUND, fuzz
from tests.e2e.packet_model import CFG

ROUNDS = 5
"""Of one seed."""

STALLS = {
    "none": Stalls(),
    "every third": Stalls(input=Stall(every=3), output=Stall(every=3)),
    "half": Stalls(input=Stall(probability=0.5), output=Stall(probability=0.5), seed=1),
    "slow output": Stalls(output=Stall(probability=0.95), seed=2),
    "slow input": Stalls(input=Stall(probability=0.95), seed=3),
    "shut": Stalls(output=Stall(window=(1_000, 30_000))),
    "patient": Stalls(output=Stall(patient=True)),
}


def main() -> int:
    """0 when nothing differed; writes benchmarks/fuzz.json then."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.fuzz", description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000, help="how many, at least")
    parser.add_argument("--seed", type=int, default=1, help="the first of the seeds")
    given = parser.parse_args()
    checkpoint = records.Checkpoint("fuzz", given.seed)
    before = checkpoint.load()
    answered = Counter[str](before.get("replies", {}))
    sent, seed = before.get("packets", 0), before.get("seed", given.seed)
    start = time.monotonic() - before.get("seconds", 0)
    while sent < given.packets:
        # A width has all kinds of stalls before the next one comes.
        width = LINK_WIDTHS[seed // len(STALLS) % len(LINK_WIDTHS)]
        name = list(STALLS)[seed % len(STALLS)]
        cfg = CFG.with_fields({"link_width": width})
        try:
            answered += fuzz(build.library(cfg), STALLS[name], seed, ROUNDS, cfg)
        except Exception as error:
            again = f"python -m tests.campaigns.fuzz --seed {seed} --packets 1"
            print(f"DIFFERENT: {error}; {width} bits, stalls {name}; {again}", file=sys.stderr)
            return 1
        sent += ROUNDS * ROUND
        seed += 1
        seconds = round(time.monotonic() - start)
        checkpoint.save({"packets": sent, "seed": seed, "replies": answered, "seconds": seconds})
        print(f"{sent:,} packets, {answered.total():,} replies are right", flush=True)
    seconds = round(time.monotonic() - start)
    checkpoint.remove()
    command = f"make fuzz PACKETS={given.packets} SEED={given.seed}"
    found = {
        "seconds": seconds, "seed": given.seed, "packets": sent, "different": 0,
        "link_widths": list(LINK_WIDTHS), "stalls": list(STALLS),
        "replies": dict(sorted(answered.items())),
    }  # fmt: skip
    if sent >= 100_000:
        records.write("fuzz", command, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
