"""cocotb benches on cores that Verilator built, run by pytest from tests/sim. May import `host`."""
