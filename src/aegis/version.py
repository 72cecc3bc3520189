"""Which version this is; said once."""

__version__ = "0.1.0"
