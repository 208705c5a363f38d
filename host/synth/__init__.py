"""From a configuration to a placed and routed FPGA, and what it costs there; see
docs/synthesis.md."""

from host.synth.devices import DEVICES, Device, device
from host.synth.flow import Synthesis, synthesize
from host.synth.placement import Placement
from hw.rtlil import Scope

__all__ = ["DEVICES", "Device", "Placement", "Scope", "Synthesis", "device", "synthesize"]
