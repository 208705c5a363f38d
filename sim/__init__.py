"""The Verilated core: building it and moving words through it. Imports `hw`, never `host`."""
