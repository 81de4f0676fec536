"""Benign variants: the reference with one lawful difference each, which the suite must accept.

Each module has a ``factory`` that patches functions of ``untorn`` in its own process, as a mutant
has, and NEAR: the rows that its difference comes near to. What fails for one is a false alarm.
LACKING, where there is one, names the cases that do not apply to it.
"""
