"""What a configuration that makes no sense raises."""


class ConfigError(ValueError):
    """A parameter out of range or at odds with another; the text names the value and the bound."""
