"""Verbs of this distribution, by name."""

from pixlake_server.cli.accounts import accounts
from pixlake_server.cli.audit import audit
from pixlake_server.cli.canary import canary
from pixlake_server.cli.erase import erase
from pixlake_server.cli.keys import keys
from pixlake_server.cli.lifecycle import lifecycle
from pixlake_server.cli.preset import preset
from pixlake_server.cli.process import process
from pixlake_server.cli.query import query
from pixlake_server.cli.rebuild import rebuild
from pixlake_server.cli.schema import schema
from pixlake_server.cli.seal import seal
from pixlake_server.cli.store import store
from pixlake_server.cli.sweep import sweep
from pixlake_server.cli.tenants import tenants
from pixlake_server.cli.up import up

VERBS = {
    "up": up,
    "process": process,
    "query": query,
    "schema": schema,
    "seal": seal,
    "erase": erase,
    "audit": audit,
    "canary": canary,
    "sweep": sweep,
    "rebuild": rebuild,
    "store": store,
    "preset": preset,
    "lifecycle": lifecycle,
    "keys": keys,
    "tenants": tenants,
    "accounts": accounts,
}
