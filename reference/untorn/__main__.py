"""`python -m untorn`: the cache's commands without the harness."""

from untorn.cli import main

main()
