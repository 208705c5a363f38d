"""Why points of the core are not covered by the simulations of the whole core."""

import re

COUNTS = "counts cycles: bit n rises and falls only where there are 2^n of them"
FIELD = (
    "a field of an instruction, or a part of one that nobody reads: no network that fits a core "
    "of these tests needs so large a value; tests/hw/test_isa.py has them all"
)
ALIGNED = "an address of a 32-bit word: always 0"
CHOSEN = "a constant of the configuration"
MEMORY = "beyond the memories of the cores of these tests"

LARGER = (
    "the upper end of what only the larger cores of these tests have, and their networks do not "
    "fill; the smallest core's is reached whole"
)

SUMS = "of larger cores, whose networks pool by the largest; smaller ones pool by sums, too"

FAULTS = (
    "of a core with another link or longer packets, to which not every faulty packet is sent; "
    "tests/hw/test_packets.py and test_decoder.py send them"
)

SHIFTS = "a shift that no network of these tests has; tests/hw/test_serial_requant.py has all"

SLOW_LINE = "the core takes words sooner than the line brings them"

UNREADABLE = (
    "the simulated line carries whole bytes; tests/hw/test_uart_line.py and test_uart_codec.py "
    "have such as cannot be read"
)

REASONS: tuple[tuple[str, str, str, str], ...] = (
    ("counters|decoder|lepton|runner|outputs", "toggle",
     r"(values|counters|bus_trace__r_data|read__data|cycle|stamp|counters_kept)\b.*", COUNTS),
    ("counters|lepton", "toggle", r"(bus__)?r_data\[.*", COUNTS),
    ("counters", "toggle", r"(row\[\d\]|cycles)\[.*", COUNTS),
    ("outputs", "toggle", r"words\[63:\d+\]", COUNTS),
    ("decoder", "line", r"(else: if|else: end else if) \(i__valid\) begin.*",
     "a packet is there whole before it begins, so none of its words is waited for"),
    ("outputs", "line", r"else: if \((taken|read)\) begin.*",
     "the array yields at once, in the cycle in which a word is wanted"),
    ("outputs|inputs", "line", r"else: if \(\$ \) begin \([45]\)|cond_then: assign \$ = lane \?.*",
     "there is one lane"),
    ("packets", "line", r"if: end else if \(\$ \) begin \$ = (3'h2|4'h9); \(2\)",
     "how long a packet is was looked at with its header; its other words cannot be too many"),
    ("link_in|packets|lepton", "toggle", r"(.*_)?payload\.cut\[0\]",
     "on a link of 32 bits no packet ends within a word; tests/hw/test_link.py has others"),
    ("feeder", "toggle", r"chosen\.(address|emit)\[.*",
     "put in behind the register: what stands here is never looked at"),
    ("feeder", "toggle", r"layer_valid\[0\]",
     "always 1 where the loader hands on the instruction"),
    ("post.*", "toggle", r"(waiting|([rw]_)?level)\[\d\]|w_rdy\[0\]",
     "results on the way count, too, so the buffer that holds them is never full"),
    (".*", "toggle", r"(blocks?|kernel_y|slice|tile|tiles|window_[xy]|x|y)_(left|last)\[.*", FIELD),
    (".*", "toggle",
     r"(emit_words|words|left|timer|allow|slack|step|move|batches_left)\[.*", FIELD),
    (".*", "toggle", r"(.*[._])?(address|base|source|ring\.address)\[1:0\]", ALIGNED),
    ("decoder", "toggle", r"memory\.(depth|words_last|total|word|write)\[.*", CHOSEN),
    ("decoder|outputs", "toggle", r"(total|length)\[.*", "as long as no packet of them is"),
    ("lepton|decoder", "toggle", r"bus(_trace)?__write\[0\]", "the trace is not written"),
    (".*", "toggle", r"(.*\.)?ring\.(words|slots)\[.*|ring\.address\[\d+\]", MEMORY),
    (".*", "toggle",
     r"(.*[._])?(address(_\d+)*|base|rows?|stop|end|target|source|table|index|pc|addr)\[\d.*",
     LARGER),
    ("packets", "toggle", r"(head|tail|whole)\[\d.*", LARGER),
    ("weights", "toggle", r"held(_\d)?\[\d.*", LARGER),
    ("feeder", "toggle", r"accumulator\[\d\]", LARGER),
    ("scratchpad", "line", r"cond_then: assign \$ = \$ \? \$ \[\d+:0\] : .*", LARGER),
    ("scratchpad", "line", r"elsif: if \(bus__write\) begin.*",
     "of a core whose networks have no borders, which the host would write"),
    ("lane", "toggle", r"bus__word\[1:0\]", "lanes are told apart in front of them: always 0"),
    ("accumulators", "line", r"cond_then: assign \$ = order_\d_\d_0_known\[14\] .*", SUMS),
    ("accumulators", "toggle", r"order(_\d+)+(_known)?\.pool_sum\[0\]", SUMS),
    ("decoder", "line", r"elsif: if \(refused\) begin.*", FAULTS),
    ("decoder", "line", r"if: if \(\$ \) begin memory\[8:0\] = .*", FAULTS),
    ("packets", "line",
     r"else: if \((i__valid|i__payload\[32\])\) begin.*|else: if \(\$ \) begin \(19\)", FAULTS),
    ("packets", "line",
     r"case: 3'h[345]: .*|if: end else if \(\$ \) begin \$ = 3'h3; \(2\)|cond_then: .* = back .*",
     FAULTS),
    ("post|runner|table", "toggle", r"entries__\d\.hi\[7\]",
     "no network clamps to less than zero from above; the first column's are written by hand"),
    ("post.requant", "line",
     r"case: \d'h[34]: (\$|low) = .*upper.*|if: if \(\$ \) begin \$ = \d'h[34]; \([12]\)", SHIFTS),
    ("post.requant", "line", r"if: if \(behind\[\d\]\) begin.*", SHIFTS),
    ("post.requant", "toggle", r"(behind|place|steps)\[\d.*", SHIFTS),
    (r"link(\.(deframer|line_in))?", "toggle", r"(i_)?error\[0\]|broken\[0\]", UNREADABLE),
    (r"link\.deframer", "line", r"elsif: if \(i_error\) begin.*", UNREADABLE),
    (r"link\.line_in", "line",
     r"if: if \(\$ \) begin \$ = 4'h0; \(1\)|elsif: if \(\$ \) begin \([357]\)", UNREADABLE),
    (r"link\.inbox", "line", r"if: if \(\$ \) begin (\\back)?\$ = 1'h1; \(2\)",
     "of a frame that is lost something is heard; tests/hw/test_uart.py leaves one out"),
    (r"link\.outbox", "line", r"else: if \(\$ \) begin \([57]\)",
     "our host acknowledges no frame that was never sent; tests/hw/test_uart.py does"),
    (r"inbox\.reader", "line", r"else: if \(o__ready\) begin.*", SLOW_LINE),
    (r"link|link\.inbox|inbox\.reader", "toggle", r"o__ready\[0\]", SLOW_LINE),
    (".*box.*", "toggle", r"about\.zero\[1:0\]", "always 0"),
    (r"link\.outbox", "toggle", r"about\.words\[\d\]",
     "of a number of words that no frame of these runs has"),
    ("inputs", "toggle", r"(full|held|words_left|(read|write)_slots_left)\[.*",
     "slots that fit no memory of these tests; tests/hw/test_inputs.py has 255"),
)  # fmt: skip
"""Component, kind and point, as regular expressions that match all of it, and the reason."""


def reason(component: str, kind: str, point: str) -> str:
    """Why a point is not reached; an empty text when nobody has said it."""
    for wanted, of_kind, what, why in REASONS:
        if of_kind == kind and re.fullmatch(wanted, component) and re.fullmatch(what, point):
            return why
    return ""
