"""The judges of a storm's round, H1 to H11: what no correct cache can have done.

`judging` runs them. They share one `timeline`, built once a round; `troubles` are what excuses,
`removals` when an entry may have gone, `lives` which version certainly was there, and when. Each
judge is a family of rules in a file of its own. Everything here is pure and needs only the standard
library. Whoever reads a history with them reads each key by itself: O(n log n) at most.
"""
