"""Judges: pure functions that are given what was seen, one file each."""
