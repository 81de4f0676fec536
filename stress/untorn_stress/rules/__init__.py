"""The judges of a run: what a correct cache cannot have answered. This file imports nothing."""
