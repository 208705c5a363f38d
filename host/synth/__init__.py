"""From a configuration to a placed and routed FPGA, and what it costs there; see
docs/synthesis.md."""

from host.synth.devices import DEVICES, Device, device
from host.synth.flow import Scope, Synthesis, synthesize

__all__ = ["DEVICES", "Device", "Scope", "Synthesis", "device", "synthesize"]
