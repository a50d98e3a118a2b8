"""Rule that compares templates with the lines of `pixlake plan --profile`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.assembly import Assembly
from tests.aws.priced import FREE, LINES
from tests.rules.rule import Rule

CLI: Final = Path(__file__).parents[4] / "client" / "pixlake" / "cli"
BILL: Final = (CLI / "bill.py").read_text()
_FREE = {kind for kinds in FREE.values() for kind in kinds.split()}


def every_type_is_priced(assembly: Assembly) -> Iterator[str]:
    for kind in sorted({one.type for one in assembly.resources()}):
        line = LINES.get(kind)
        if line is None and kind not in _FREE:
            yield f"{kind}: is it in the bill? see tests/aws/priced.py"
        if line is not None and f'"{line}"' not in BILL:
            yield f"{kind}: the bill has no line {line}"


def _unpriced(assembly: Assembly) -> None:
    assembly.first("AWS::SNS::Topic").raw["Type"] = "AWS::EC2::TransitGateway"


RULES = (Rule(every_type_is_priced, _unpriced),)
