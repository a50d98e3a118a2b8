"""Lifecycle rules of the bucket, by which S3 deletes expired objects (lifecycle_rules.py).

Other rules of the bucket are not changed.
The role needs s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from lake import layout
from lake.errors import LakeError, StoreUnavailable
from lake.retention.lifecycle_rules import Rule, rules
from lake.settings import LakeSettings
from lake.store.bucket import client

_CONNECT_SECONDS = 5
_READ_SECONDS = 30


class NoLifecycle(LakeError):
    """Store without lifecycle rules; `pixlake sweep` deletes there."""

    code = "no_lifecycle"


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule that differs from the expected one; `found` is None if it is missing."""

    rule: str
    about: str
    wanted: Rule | None
    found: Rule | None


class Lifecycle:
    """Lifecycle rules of the store's bucket; raises NoLifecycle for other stores."""

    def __init__(self, settings: LakeSettings, days: int) -> None:
        """`days` is the longest retention that the store has or will have."""
        url = urlsplit(settings.location)
        if url.scheme != "s3":
            raise NoLifecycle(f"{url.scheme}: stores have no lifecycle rules; use `pixlake sweep`")
        self._bucket = url.netloc
        self._prefix = f"{path}/" if (path := url.path.strip("/")) else ""
        self._days = days
        self._client = client(
            settings, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS, retries=4
        )

    def rules(self) -> list[Rule]:
        """Build the expected rules."""
        return rules(self._days, self._prefix)

    def check(self) -> list[Difference]:
        """Find missing and different rules, and foreign rules that delete too early.

        Raises NoLifecycle, StoreUnavailable.
        """
        return list(self._differences(self._read()))

    def apply(self) -> list[Difference]:
        """Write the expected rules and keep all others; returns the differences.

        Raises NoLifecycle, StoreUnavailable.
        """
        current = self._read()
        differences = list(self._differences(current))
        expected = {rule["ID"] for rule in self.rules()}
        others = [rule for rule in current if rule.get("ID") not in expected]
        try:
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self._bucket,
                LifecycleConfiguration={"Rules": [*others, *self.rules()]},  # type: ignore[list-item]
            )
        except (ClientError, BotoCoreError) as error:
            raise _fault(error) from error
        return differences

    def _read(self) -> list[Rule]:
        try:
            answer = self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                return []
            raise _fault(error) from error
        except BotoCoreError as error:
            raise _fault(error) from error
        return [dict(rule) for rule in answer["Rules"]]

    def _differences(self, current: Sequence[Rule]) -> Iterator[Difference]:
        by_id = {rule.get("ID"): rule for rule in current}
        for rule in self.rules():
            existing = by_id.pop(rule["ID"], None)
            if existing is None:
                yield Difference(rule["ID"], "missing", rule, None)
            elif _plain(existing) != _plain(rule):
                yield Difference(rule["ID"], "different", rule, existing)
        for rule in by_id.values():
            if self._deletes_early(rule):
                name = str(rule.get("ID", "without a name"))
                yield Difference(name, "deletes objects of Pixlake too early", None, rule)

    def _deletes_early(self, rule: Rule) -> bool:
        """True if a foreign rule would delete objects too early."""
        prefix = _prefix_of(rule)
        ours = prefix.startswith(self._prefix) or self._prefix.startswith(prefix)
        expiration = rule.get("Expiration", {})
        ends = "Date" in expiration or "Days" in expiration
        # `store.json` must never expire.
        settings = f"{self._prefix}{layout.STORE}".startswith(prefix) and ends
        least = self._days
        early = "Date" in expiration or expiration.get("Days", least) < least
        return rule.get("Status") == "Enabled" and ours and (early or settings)


def _prefix_of(rule: Rule) -> str:
    of = rule.get("Filter", {})
    return str(of.get("Prefix", of.get("And", {}).get("Prefix", rule.get("Prefix", ""))))


def _plain(rule: Rule) -> Rule:
    """Normalise a rule: servers add empty fields or move the prefix."""
    kept = {name: value for name, value in rule.items() if value and name != "Prefix"}
    return kept | {"Filter": {"Prefix": _prefix_of(rule)}}


def _fault(error: Exception) -> LakeError:
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        if code in ("NotImplemented", "MethodNotAllowed"):
            return NoLifecycle("this server has no lifecycle rules; use `pixlake sweep`")
    return StoreUnavailable(f"the bucket's lifecycle rules: {' '.join(str(error).split())}")
