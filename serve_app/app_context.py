"""Shared objects of all routes of one app, created by `serve_app.api.make_app`."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from lake.commit.invalidations import Invalidations
from lake.lake import Lake
from processors.worker import Worker
from serve_app.accounts.calls import AccountsCalls
from serve_app.admission.admission import Admission
from serve_app.admission.reads import Reads
from serve_app.admission.spillover import Spillover
from serve_app.auth import KeyRing
from serve_app.day_limits import DayLimits
from serve_app.rates import Rates
from serve_app.record_cache import RecordCache
from serve_app.replays import Replays
from serve_app.settings import ServeSettings
from serve_app.usage_counts import UsageCounts


@dataclass(frozen=True, slots=True)
class AppContext:
    """Application context: lake, worker, keys, accounts, admission, records, settings."""

    lake: Lake
    worker: Worker
    keys: KeyRing
    admission: Admission
    spillover: Spillover
    settings: ServeSettings
    reads: Reads
    rates: Rates
    usage: UsageCounts
    day_limits: DayLimits
    accounts: AccountsCalls
    replays: Replays
    records: RecordCache
    invalidations: Invalidations | None = None
    """queue of CloudFront invalidations; None without a distribution"""
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)
    """uploads and erasures in processing; the event loop itself has only weak references to them"""


def context_of(request: Request) -> AppContext:
    """Return the application context of a request."""
    context: AppContext = request.app.state.context
    return context
