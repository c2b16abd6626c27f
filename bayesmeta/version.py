"""The version, in one place that every layer can import."""

__version__ = "0.1.0"
