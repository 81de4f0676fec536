"""Mutants: the reference with one seeded bug each, to prove that the suite finds it."""
