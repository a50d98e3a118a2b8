"""Quotas that an environment needs: show and request commands, or a check of the account.

    python quotas.py ENVIRONMENT            such as: small; prints the commands and runs none
    python quotas.py ENVIRONMENT --check    reads the account; exit code 1 if a quota is too small

A request takes minutes to days; make it before the first stack.
"""

import argparse
import sys
from collections.abc import Iterator

from infra.aws_limits import QUOTAS, Quota, needed
from infra.settings import Settings
from run_task import Aws, command_line


def commands(settings: Settings) -> Iterator[str]:
    """Yield a comment and two commands for each quota that a new account has too small."""
    for name, value in needed(settings).items():
        quota = QUOTAS[name]
        if value <= quota.default:
            continue
        yield f"# {quota.name}: needs {value}, a new account has {quota.default}"
        yield _command(settings, "get-service-quota", quota, "--query Quota.Value")
        yield _request(settings, quota, value)


def lacking(settings: Settings, aws: Aws) -> Iterator[str]:
    """Yield a comment and the request for each quota of this account that is too small."""
    for name, value in needed(settings).items():
        quota = QUOTAS[name]
        which = ("--service-code", quota.service, "--quota-code", quota.code)
        has = aws("service-quotas", "get-service-quota", *which)["Quota"]["Value"]
        if has < value:
            yield f"# {quota.name}: needs {value}, this account has {has:g}"
            yield _request(settings, quota, value)


def _request(settings: Settings, quota: Quota, value: int) -> str:
    return _command(settings, "request-service-quota-increase", quota, f"--desired-value {value}")


def _command(settings: Settings, verb: str, quota: Quota, more: str) -> str:
    return (
        f"aws service-quotas --region {settings.region} {verb} "
        f"--service-code {quota.service} --quota-code {quota.code} {more}"
    )


def main() -> int:
    """Print the commands, or check the account; returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment")
    parser.add_argument("--check", action="store_true", help="read the quotas of the account")
    given = parser.parse_args()
    settings = Settings.load(given.environment)
    if not given.check:
        sys.stdout.writelines(f"{line}\n" for line in commands(settings))
        return 0
    found = list(lacking(settings, command_line(settings.region)))
    sys.stdout.writelines(f"{line}\n" for line in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
