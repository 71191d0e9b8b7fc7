"""The process that thinks: reads one question, writes answers, ends.

`python -m app.matching.worker BYTES` may use so many bytes of memory. It is apart from the service,
so that no solver that hangs, fails or eats memory takes a worker down. The first answer is a plan
that is merely sound; each one after it is better; the last one is final.
"""

import json
import os
import resource
import sys
from typing import BinaryIO

# Before numpy is loaded: one question gets one core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from app import json_text
from app.matching import answering, asking, candidates, preparing
from app.matching.planning import Plan, plan
from app.matching.program import Deadline

_CPU_SECONDS = 180
_NICE = 10


def main() -> None:
    """The process."""
    most = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # Should the service die, nobody is left who would end this process.
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    os.nice(_NICE)
    # What a library prints must not get between the answers.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer(sys.stdin.buffer.read(), out)
    out.close()


def answer(question: bytes, out: BinaryIO) -> None:
    """Answer one question."""
    data = json.loads(question)
    if data["kind"] == "preparedness":
        _write(out, preparing.answer(asking.read(data), data["scenario"]), True)
        return
    secretariat, only = data["secretariat"], data["only_for"]
    limit = data["options"]["time_limit"]
    supposed = data.get("what_if")
    if supposed:
        before = _planned(asking.read(data), limit / 2, secretariat, only, None)
        after = _planned(asking.read(data, supposed), limit / 2, secretariat, only, None)
        _write(out, after | {"compared": answering.compare(before, after)}, True)
        return
    _write(out, _planned(asking.read(data), limit, secretariat, only, out), True)


def _planned(
    asked: asking.Asked, seconds: float, secretariat: bool, only: str | None, out: BinaryIO | None
) -> answering.Json:
    found = candidates.find(asked)
    nearest: list[answering.Json] = []

    def shown(better: Plan) -> answering.Json:
        document = answering.answer(asked, found, better, secretariat, only)
        if not nearest:
            nearest.append(answering.figures(document))
        return document | {"nearest_first": nearest[0]}

    def told(better: Plan) -> None:
        document = shown(better)
        if out is not None:
            _write(out, document, False)

    options = asked.options
    best = plan(
        found.instance, Deadline.within(seconds), options.max_consignments, options.weights, told
    )
    return shown(best)


def _write(out: BinaryIO, document: answering.Json, final: bool) -> None:
    body = (b"f" if final else b"b") + json_text.dump(document)
    out.write(len(body).to_bytes(8, "big") + body)
    out.flush()


if __name__ == "__main__":
    main()
