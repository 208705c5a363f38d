"""Bench of what a part makes of its own blocks: beside the generic form, equal in every cycle.

Everything that happens is in Verilog: two designs with one stimulus, a comparison, counters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cocotb
from amaranth import Shape
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from hw.config import Config
from hw.multiplier import RegisteredProduct, RowMultipliers
from hw.pairs import PairProducts
from hw.target import Target
from hw.weights import Bank, SinglePortBank
from sim import cells
from sim.bench.run import read_case

CYCLES = 90_000
"""Every product of two int8, and 24,000 at random; memories take fewer."""


@dataclass(frozen=True)
class Check:
    """Two forms of one thing, a part's and the generic one, and Verilog that compares them."""

    name: str
    generic: RowMultipliers | PairProducts | RegisteredProduct | Bank
    vendor: RowMultipliers | PairProducts | RegisteredProduct | SinglePortBank
    bench: str
    """Of a module `NAME` that instantiates `NAME_generic` and `NAME_vendor`."""


def multipliers(name: str, cfg: Config, *, blocks: bool = True) -> Check:
    """A row's multipliers: in blocks, or in LUTs once the blocks have run out."""
    text = MULTIPLIERS.format(name=name, cols=cfg.cols, latency=RowMultipliers.latency(cfg))
    return Check(name, RowMultipliers(cfg), RowMultipliers(cfg, blocks=blocks), text)


def pairs(name: str, cfg: Config, rows: int = 2, *, blocks: bool = True) -> Check:
    """Two rows of products, or one, added in each column."""
    text = PAIRS.format(name=name, cols=cfg.cols, rows=rows, latency=PairProducts.latency(cfg))
    vendor = PairProducts(cfg, rows=rows, blocks=blocks)
    return Check(name, PairProducts(cfg, rows=rows), vendor, text)


def products(name: str, a: Shape, b: Shape) -> Check:
    """A product with registers at its factors and behind it."""
    text = PRODUCTS.format(
        name=name, a=a.width, b=b.width, o=a.width + b.width, latency=RegisteredProduct.LATENCY
    )
    return Check(name, RegisteredProduct(a, b), RegisteredProduct(a, b), text)


def banks(name: str, cfg: Config) -> Check:
    """A bank of weight memory of single-port blocks."""
    bits = (cfg.weight_depth - 1).bit_length()
    text = BANKS.format(name=name, cols=cfg.cols, words=cfg.port_words, bits=bits)
    return Check(name, Bank(cfg), SinglePortBank(cfg), text)


def verilog(checks: Sequence[Check], target: Target) -> str:
    """All checks in one top, on the cells of a part."""
    # Here, lest the simulator's Python load all of the core.
    from hw.verilog import convert

    parts = [cells.models(target.family), STIMULUS]
    for check in checks:
        parts.append(convert(check.generic, name=f"{check.name}_generic"))
        parts.append(convert(check.vendor, name=f"{check.name}_vendor", platform=target))
        parts.append(check.bench)
    instances = [
        f"{c.name} {c.name}(clk, compared[{32 * i} +: 32], wrong[{32 * i} +: 32]);"
        for i, c in enumerate(checks)
    ]
    ports = f"input clk, output [{32 * len(checks) - 1}:0] compared, wrong"
    return "\n".join((*parts, f"module lepton({ports});", *instances, "endmodule\n"))


STIMULUS = """
// Pseudo-random bits: xorshift64.
module stimulus(input clk, output reg [63:0] bits);
  wire [63:0] a = bits ^ (bits << 13), b = a ^ (a >> 7);
  initial bits = 64'h2545f4914f6cdd1d;
  always @(posedge clk) bits <= b ^ (b << 17);
endmodule
"""

MULTIPLIERS = """
// First every weight with every activation, then both at random, taken over at any time.
module {name}(input clk, output reg [31:0] compared, output reg [31:0] wrong);
  wire [63:0] random, more;
  stimulus s(clk, random);
  assign more = {{random[30:0], random[63:31]}};
  reg [31:0] n = 0;
  initial {{compared, wrong}} = 0;
  wire exhaustive = n < 65536 + 512;
  wire [7:0] a = exhaustive ? n[7:0] : random[7:0];
  wire [{cols}-1:0] swap;
  wire [8*{cols}-1:0] w;
  wire [16*{cols}-1:0] expected, found;
  genvar c;
  generate for (c = 0; c < {cols}; c = c + 1) begin
    // Column c has an activation c cycles later, and takes over its weight with the first of 256.
    assign w[8*c +: 8] = exhaustive ? n[15:8] : random[8+5*c +: 8] ^ more[3*c +: 8];
    assign swap[c] = exhaustive ? n[7:0] == c : more[2*c +: 2] == 0;
  end endgenerate
  {name}_generic generic(.clk(clk), .rst(1'b0), .a(a), .swap(swap), .w(w), .products(expected));
  {name}_vendor vendor(.clk(clk), .rst(1'b0), .a(a), .swap(swap), .w(w), .products(found));

  // And the products of column 0 by themselves.
  reg signed [7:0] factor = 0;
  reg signed [15:0] product [0:{latency}];
  integer i;
  always @(posedge clk) begin
    n <= n + 1;
    if (swap[0]) factor <= w[7:0];
    product[0] <= $signed(a) * $signed(swap[0] ? w[7:0] : factor);
    for (i = 1; i <= {latency}; i = i + 1) product[i] <= product[i-1];
    if (n >= 16) begin
      compared <= compared + 1;
      wrong <= wrong + (found != expected || found[15:0] != product[{latency}-1]);
    end
  end
endmodule
"""

PAIRS = """
// First every weight with every activation in the first row, then both at random, taken over at any
// time. The second row has the same factors for every other weight, also the lowest.
module {name}(input clk, output reg [31:0] compared, output reg [31:0] wrong);
  wire [63:0] random, more;
  stimulus s(clk, random);
  assign more = {{random[30:0], random[63:31]}};
  reg [31:0] n = 0;
  initial {{compared, wrong}} = 0;
  wire exhaustive = n < 65536 + 512;
  wire same = exhaustive ? n[8] ^ n[15] : n[9];
  wire swap = exhaustive ? n[7:0] == 8'hff : random[1:0] == 0;
  wire [15:0] a, after = n[15:0] + 1;
  assign a[7:0] = exhaustive ? n[7:0] : random[7:0];
  assign a[15:8] = same ? a[7:0] : more[7:0];
  wire [16*{cols}-1:0] w;
  wire [17*{cols}-1:0] expected, found;
  genvar c;
  generate for (c = 0; c < {cols}; c = c + 1) begin
    assign w[8*c +: 8] = exhaustive ? after[15:8] : random[8+5*c +: 8] ^ more[3*c +: 8];
    assign w[8*({cols}+c) +: 8] = same ? w[8*c +: 8] : more[8+5*c +: 8] ^ random[3*c +: 8];
  end endgenerate
  {name}_generic generic(.clk(clk), .rst(1'b0), .a(a[8*{rows}-1:0]), .swap(swap),
    .w(w[8*{rows}*{cols}-1:0]), .sums(expected));
  {name}_vendor vendor(.clk(clk), .rst(1'b0), .a(a[8*{rows}-1:0]), .swap(swap),
    .w(w[8*{rows}*{cols}-1:0]), .sums(found));

  // And all sums by themselves.
  reg [16*{cols}-1:0] factors = 0;
  reg [17*{cols}-1:0] sums [0:{latency}];
  integer i;
  always @(posedge clk) begin
    n <= n + 1;
    if (swap) factors <= w;
    for (i = 0; i < {cols}; i = i + 1)
      sums[0][17*i +: 17] <= $signed(a[7:0]) * $signed(factors[8*i +: 8])
        + ({rows} == 2 ? $signed(a[15:8]) * $signed(factors[8*({cols}+i) +: 8]) : 17'sd0);
    for (i = 1; i <= {latency}; i = i + 1) sums[i] <= sums[i-1];
    // The first weights are taken over in cycle 255.
    if (n >= 300) begin
      compared <= compared + 1;
      wrong <= wrong + (found != expected || found != sums[{latency}-1]);
    end
  end
endmodule
"""

PRODUCTS = """
// Random factors, every fourth of all ones or of all zeros.
module {name}(input clk, output reg [31:0] compared, output reg [31:0] wrong);
  wire [63:0] random;
  stimulus s(clk, random);
  reg [31:0] n = 0;
  initial {{compared, wrong}} = 0;
  wire [{a}-1:0] a = random[1:0] == 0 ? {{{a}{{random[2]}}}} : random[8 +: {a}];
  wire [{b}-1:0] b = random[4:3] == 0 ? {{{b}{{random[5]}}}} : random[40 +: {b}];
  wire [{o}-1:0] expected, found;
  {name}_generic generic(.clk(clk), .rst(1'b0), .a(a), .b(b), .o(expected));
  {name}_vendor vendor(.clk(clk), .rst(1'b0), .a(a), .b(b), .o(found));
  always @(posedge clk) begin
    n <= n + 1;
    if (n >= 16) begin
      compared <= compared + 1;
      wrong <= wrong + (found != expected);
    end
  end
endmodule
"""

BANKS = """
// 32 rows at both ends of both blocks: written whole, then written and read at random.
module {name}(input clk, output reg [31:0] compared, output reg [31:0] wrong);
  wire [63:0] random;
  stimulus s(clk, random);
  reg [31:0] n = 0;
  initial {{compared, wrong}} = 0;
  wire filling = n < 32;
  wire [4:0] chosen = filling ? n[4:0] : random[4:0];
  wire [{bits}-1:0] row = {{chosen[4], {{{bits}-5{{chosen[3]}}}}, chosen[3:0]}};
  wire [{words}-1:0] enable = filling ? {{{words}{{1'b1}}}} : random[8] ? 0 : random[9 +: {words}];
  wire [8*{cols}-1:0] data = {{random[63:20], random[63:20]}};
  wire [8*{cols}-1:0] expected, found;
  reg wrote = 1;
  {name}_generic generic(.clk(clk), .rst(1'b0), .read_address(row), .r_data(expected), .row(row),
    .enable(enable), .w_data(data));
  {name}_vendor vendor(.clk(clk), .rst(1'b0), .read_address(row), .r_data(found), .row(row),
    .enable(enable), .w_data(data));
  always @(posedge clk) begin
    n <= n + 1;
    wrote <= |enable;
    if (n >= 64 && !wrote) begin
      compared <= compared + 1;
      wrong <= wrong + (found != expected);
    end
  end
endmodule
"""


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def forms_are_equal(dut) -> None:
    case = read_case()
    names, cycles = case["names"], case["cycles"]
    Clock(dut.clk, 10, "ns").start()
    await ClockCycles(dut.clk, cycles)
    for i, name in enumerate(names):
        compared, wrong = (
            int(signal.value) >> (32 * i) & 0xFFFF_FFFF for signal in (dut.compared, dut.wrong)
        )
        assert compared > cycles // 4, f"{name}: only {compared} of {cycles} cycles were compared"
        assert wrong == 0, f"{name}: {wrong} of {compared} cycles differ"
