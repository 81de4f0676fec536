"""Schedulers: who moves next. One algorithm a file, behind the protocol in ``protocol``."""
