"""What is proven of the gateware for all inputs: harnesses in Amaranth, and tools that prove."""
