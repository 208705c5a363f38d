"""What a simulation that cannot be built or does not end raises."""


class SimulationError(Exception):
    """The core could not be built or did not answer; the text is one sentence for the user."""


class CacheError(SimulationError):
    """The cache's folder cannot be written, or has no space."""
