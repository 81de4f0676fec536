"""The adversary: worker processes, and what is done to them while they work.

Knows the law and the tree on disk, never a backend and never pytest. This file imports nothing.
"""
