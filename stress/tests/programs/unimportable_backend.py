"""A backend that cannot be imported: ``py:unimportable_backend:factory``."""

from __future__ import annotations

raise ImportError("this backend needs a library that nobody has")
