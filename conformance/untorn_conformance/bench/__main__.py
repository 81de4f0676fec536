"""``python -m untorn_conformance.bench cache``: the same as ``untorn bench cache``."""

from untorn_conformance.bench.cli import bench

if __name__ == "__main__":
    bench(prog_name="untorn bench")
