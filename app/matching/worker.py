"""The process that thinks: reads questions, and forks a child to answer each.

`python -m app.matching.worker BYTES`: a child may use so many bytes of memory. It is apart from the
service, so that no solver that hangs, fails or eats memory takes a worker down; and a child for
each question costs no loading of libraries, and leaves nothing behind. The first answer is a plan
that is merely sound, each one after it is better, the last one is final; an end follows, also
where the child has died.
"""

import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import BinaryIO, NoReturn

# Before numpy is loaded: one question gets one core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from app import json_text
from app.matching import answering, asking, candidates, preparing
from app.matching.planning import Plan, plan
from app.matching.program import Deadline

_CPU_SECONDS = 180
_NICE = 10


def main() -> None:
    """The process: one question after the other, until the service closes the pipe."""
    most = int(sys.argv[1])
    os.nice(_NICE)
    # What a library prints must not get between the answers.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while len(head := sys.stdin.buffer.read(8)) == 8:
        question = sys.stdin.buffer.read(int.from_bytes(head, "big"))
        child = os.fork()
        if child == 0:
            _think(question, out, most)
        os.waitpid(child, 0)
        _frame(out, b"e")


def _think(question: bytes, out: BinaryIO, most: int) -> NoReturn:
    try:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        # Should the service die, nobody is left who would end this process.
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        answer(question, out)
    except Exception as error:
        # Where it failed and how, for the operator: no values of the question.
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        _frame(out, b"x" + told.encode())
    finally:
        os._exit(0)


def answer(question: bytes, out: BinaryIO) -> None:
    """Answer one question."""
    data = json.loads(question)
    if data["kind"] == "preparedness":
        document = preparing.answer(asking.read(data), data["scenario"])
        _write(out, document | {"not_planned": data["not_planned"]}, True)
        return
    secretariat, only = data["secretariat"], data["only_for"]
    limit, left_out = data["options"]["time_limit"], data.get("not_planned", [])
    supposed = data.get("what_if")
    if supposed:
        before = _planned(asking.read(data), limit / 2, secretariat, only, left_out, None)
        after = _planned(asking.read(data, supposed), limit / 2, secretariat, only, left_out, None)
        _write(out, after | {"compared": answering.compare(before, after)}, True)
        return
    _write(out, _planned(asking.read(data), limit, secretariat, only, left_out, out), True)


def _planned(
    asked: asking.Asked,
    seconds: float,
    secretariat: bool,
    only: str | None,
    left_out: list[answering.Json],
    out: BinaryIO | None,
) -> answering.Json:
    found = candidates.find(asked)
    nearest: list[answering.Json] = []

    def shown(better: Plan) -> answering.Json:
        document = answering.answer(asked, found, better, secretariat, only)
        if not nearest:
            nearest.append(answering.figures(document))
        return document | {"nearest_first": nearest[0], "not_planned": left_out}

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
    _frame(out, (b"f" if final else b"b") + json_text.dump(document))


def _frame(out: BinaryIO, body: bytes) -> None:
    out.write(len(body).to_bytes(8, "big") + body)
    out.flush()


if __name__ == "__main__":
    main()
