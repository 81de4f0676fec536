"""Backends that come with the suite, one a file."""
