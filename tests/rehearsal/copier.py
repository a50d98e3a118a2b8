"""Copies between two stores, as S3 replicates: in no order, later, and over what is there."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from botocore.exceptions import ClientError

from tests.rehearsal.servers import BUCKET, Store

_PAUSE_SECONDS = 1.0
_THREADS = 4
USER = "copier"
_AS_USER = {"s3:ReplicateObject": "s3:PutObject", "s3:ReplicateDelete": "s3:DeleteObject"}


def prefixes(data: Path) -> list[str]:
    """Prefixes of the bucket's replication rules, from the template of the stack `data`."""
    resources: dict[str, Any] = json.loads(data.read_text())["Resources"]
    rules = resources["Lake"]["Properties"]["ReplicationConfiguration"]["Rules"]
    return [rule["Filter"]["Prefix"] for rule in rules]


def copies_policy(replica: Path) -> list[dict[str, Any]]:
    """Statements for the copier: its rights, and the Deny of the replica bucket's policy."""
    resources: dict[str, Any] = json.loads(replica.read_text())["Resources"]
    statements = resources["LakePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    closed = [one for one in statements if one.get("Sid") == "NoMoreCopies"]
    found: list[tuple[str, list[str]]] = [("Allow", [*_AS_USER])]
    found += [(one["Effect"], one["Action"]) for one in closed]
    return [
        {
            "Effect": effect,
            "Principal": {"AWS": [USER]},
            "Action": [_AS_USER[action] for action in actions],
            "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
        }
        for effect, actions in found
    ]


class Copier:
    """Copies changes and deletions of the first store during a `with`, until `end`."""

    def __init__(self, source: Store, target: Store, below: list[str]) -> None:
        self._source = source.client(source.admin)
        self._target = target.client(target.users[USER])
        self._listed = target.client(target.admin)
        self._below = below
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.copied: set[str] = set()
        """all keys that a copy was made of, or a deletion"""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop in the middle, as when the first region is lost."""
        self._ended.set()
        self._thread.join()

    def late(self, key: str) -> str:
        """Try a copy that arrives late; return the code of the error, or `ok`."""
        try:
            self._copy(key)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    def keys(self, client: Any) -> dict[str, str]:
        """ETag of each key below the prefixes."""
        pages = client.get_paginator("list_objects_v2")
        return {
            one["Key"]: one["ETag"]
            for prefix in self._below
            for page in pages.paginate(Bucket=BUCKET, Prefix=prefix)
            for one in page.get("Contents", ())
        }

    def source_keys(self) -> dict[str, str]:
        """Keys of the first store."""
        return self.keys(self._source)

    def target_keys(self) -> dict[str, str]:
        """Keys of the second store."""
        return self.keys(self._listed)

    def _run(self) -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            while not self._ended.wait(_PAUSE_SECONDS):
                there, here = self.source_keys(), self.target_keys()
                changed = [key for key, etag in there.items() if here.get(key) != etag]
                changed += [key for key in here if key not in there and key in self.copied]
                random.shuffle(changed)
                list(threads.map(self._once, changed))

    def _once(self, key: str) -> None:
        if not self._ended.is_set():
            self._copy(key)
            self.copied.add(key)

    def _copy(self, key: str) -> None:
        try:
            body = self._source.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except self._source.exceptions.NoSuchKey:
            self._target.delete_object(Bucket=BUCKET, Key=key)
        else:
            self._target.put_object(Bucket=BUCKET, Key=key, Body=body)
