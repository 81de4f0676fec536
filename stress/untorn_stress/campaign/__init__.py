"""A campaign: a night of storms and searches, shared out in shards that outlive their campaign.

Read in this order: ``shard`` and ``sharing`` (what is done, and whose turn it is), ``verdicts``
(what came of a shard), ``journal`` and ``record`` (what is known, on disk and in memory),
``corpus``, ``summary``, ``warden``, ``task`` and ``hands`` (a shard's processes), ``room``,
``place`` (the directory) and ``conduct`` (the loop).
"""
