"""The sources of architectures, one a file."""
