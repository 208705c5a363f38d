"""The one exception that is the user's to mend."""


class LeptonError(Exception):
    """A mistake that one sentence can explain; the command line prints it and exits with 2."""
