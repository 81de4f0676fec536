"""The law of caches on disk, how a run is judged by it, and the trial that runs it.

The modules ``contract``, ``backend``, ``wire``, ``errors`` and ``verdict`` are the law: pure,
standard library only, importable without pytest. Import what you need from them by name; this file
imports nothing, so that reading the law never loads the trial.
"""
