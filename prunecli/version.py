"""The version, read by the build and by `prunecli --version`."""

__version__ = "0.1.0"
