"""Quotas that an environment needs, as commands that show and request them.

    python quotas.py ENVIRONMENT    such as: small

Prints the commands and runs none. A request takes minutes to days; make it before the first stack.
"""

import sys
from collections.abc import Iterator

from infra.aws_limits import QUOTAS, needed
from infra.settings import Settings


def commands(settings: Settings) -> Iterator[str]:
    """Yield a comment and two commands for each quota that a new account has too small."""
    for name, value in needed(settings).items():
        quota = QUOTAS[name]
        if value <= quota.default:
            continue
        which = f"--service-code {quota.service} --quota-code {quota.code}"
        aws = f"aws service-quotas --region {settings.region}"
        yield f"# {quota.name}: needs {value}, a new account has {quota.default}"
        yield f"{aws} get-service-quota {which} --query Quota.Value"
        yield f"{aws} request-service-quota-increase {which} --desired-value {value}"


def main() -> None:
    """Print the commands of the given environment."""
    for line in commands(Settings.load(sys.argv[1])):
        print(line)  # noqa: T201  # this is what the script is for


if __name__ == "__main__":
    main()
