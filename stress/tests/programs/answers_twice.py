"""The good cache as a program that answers each lookup twice: nobody asked for the second answer.

``cmd:python PATH/answers_twice.py``, where untorn can be imported.
"""

from __future__ import annotations

import sys

from untorn_conformance import serve, wire
from untorn_conformance.backend import Verb


def main() -> int:
    """Host the cache over stdin and stdout."""
    requests, answers = serve.claim_standard_streams()
    backend = serve.build("untorn_conformance.specimens.after_review:factory")
    for line in requests:
        times = 2 if wire.decode_request(line).verb is Verb.LOOKUP else 1
        answers.write(serve.answer(backend, line) * times)
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
