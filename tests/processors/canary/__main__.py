"""Search for answers that depend on what memory held: `python -m tests.processors.canary FILES`.

Each file is processed after memory was filled with one byte, and again after another byte; the two
answers have to be equal to the byte. FILES: `cases`, `corpora`, or `leak`, whose decoder leaves
every second row unwritten. The argument `cleared` after FILES clears memory as in a child, where
the environment allows it. Prints JSON.
"""

import json
import sys
from collections.abc import Iterable

from processors.preset import Preset
from processors.sandbox.cleared_memory import clear_memory, is_cleared
from processors.sandbox.warm_up import warm_up
from processors.settings import Limits
from tests.corpora import PILLOW, PILLOW_HEIF, files_of
from tests.processors.canary import leak
from tests.processors.canary.answers import REFUSED, answer
from tests.processors.canary.pattern import fill
from tests.processors.canary.presets import LOSSLESS, presets

# Larger files of the corpora have no other layouts; they are refused with the same text.
LIMITS = {
    "cases": Limits(codes=True, faces=True),
    "corpora": Limits(max_pixels=50_000),
    "leak": Limits(),
}
_ONE, _OTHER = 0x5A, 0xC3


def main() -> None:
    """Print how many files were processed with each preset, and those whose answers differ."""
    if "cleared" in sys.argv[2:]:
        clear_memory()
    warm_up()
    chosen, wanted = _chosen(sys.argv[1])
    limits = LIMITS[sys.argv[1]]
    made, differing = 0, []
    for name, data in chosen:
        for preset in wanted:
            answers = {_after(byte, data, preset, limits) for byte in (_ONE, _OTHER)}
            made += not any(each.startswith(REFUSED) for each in answers)
            if len(answers) > 1:
                differing.append(name)
    found = {"made": made, "differing": sorted(set(differing)), "cleared": is_cleared()}
    sys.stdout.write(json.dumps(found))


def _chosen(what: str) -> tuple[Iterable[tuple[str, bytes]], list[Preset]]:
    if what == "leak":
        leak.install()
        return leak.photos().items(), [LOSSLESS]
    if what == "cases":
        # The import makes thousands of files, which takes minutes in cleared memory.
        from tests.processors.canary.files import files  # noqa: PLC0415

        return files().items(), presets()
    return (files_of(PILLOW) | files_of(PILLOW_HEIF)).items(), [LOSSLESS]


def _after(byte: int, data: bytes, preset: Preset, limits: Limits) -> str:
    fill(byte)
    return answer(data, preset, limits)


if __name__ == "__main__":
    main()
