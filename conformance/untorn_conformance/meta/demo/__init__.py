"""Backends that are small enough to see through, for testing the trial itself."""
