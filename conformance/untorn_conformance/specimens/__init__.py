"""Specimens: faithful models of a published algorithm, kept for the faults that it really has."""
