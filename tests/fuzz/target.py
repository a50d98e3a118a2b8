"""Targets of the fuzzer: any bytes are read or refused, and nothing else happens.

A target runs in its own process: `python -m tests.fuzz.target header|pipeline|memory`, followed by
libFuzzer's options.
"""

import sys

import atheris

with atheris.instrument_imports(include=["processors"]):
    from processors.codecs.formats import check_bytes
    from processors.codecs.header_readers import read_header
    from processors.errors import Refused
    from processors.pipeline import process
    from processors.preset import WEB
    from processors.sandbox.answer_check import check_answer
    from processors.sandbox.protocol import Answer, answer_of, message_of, parse_reply
    from processors.sandbox.warm_up import warm_up
    from processors.settings import Limits

from tests.processors.canary.answers import answer
from tests.processors.canary.pattern import fill

_ONE, _OTHER = 0x5A, 0xC3
# Small limits, so that the fuzzer does not spend its time on pixels.
LIMITS = Limits(max_pixels=250_000, max_metadata_bytes=100_000, codes=True)


def header(data: bytes) -> None:
    """Run only the parsers: thousands of inputs a second."""
    try:
        found = read_header(data, check_bytes(memoryview(data), LIMITS), LIMITS)
    except Refused:
        return
    assert min(found.displayed) >= 1
    assert found.width * found.height * found.frames <= LIMITS.max_pixels
    assert found.metadata_bytes <= LIMITS.max_metadata_bytes


def pipeline(data: bytes) -> None:
    """Process an image as a child does; its parent must accept the answer."""
    try:
        made = process(data, WEB, LIMITS)
    except Refused:
        return
    assert all(each.data for each in made.renditions)
    answer = parse_reply(message_of(answer_of(made, "")))
    assert isinstance(answer, Answer)
    check_answer(answer, WEB, LIMITS)


def memory(data: bytes) -> None:
    """Compare answers, refusal texts included, after memory held one byte and another."""
    answers = []
    for byte in (_ONE, _OTHER):
        fill(byte)
        answers.append(answer(data, WEB, LIMITS))
    assert answers[0] == answers[1]


if __name__ == "__main__":
    chosen = {"header": header, "pipeline": pipeline, "memory": memory}[sys.argv.pop(1)]
    warm_up()
    atheris.Setup(sys.argv, chosen)
    atheris.Fuzz()
