"""Ports that security groups open; never a vendor's default where a scanner looks first."""

from typing import Final

from infra import contract

HTTPS: Final = 443
HTTP: Final = 80
API: Final = contract.PORT
# The entrypoint's own answer to the balancer's health check (node/health.py).
HEALTH: Final = 8001
DATABASE: Final = 5433
CACHE: Final = 6380
# MSK with TLS and IAM; the number is AWS's.
KAFKA: Final = 9098
# Ray: the head's directory and its dashboard, for engineers by VPN.
RAY_HEAD: Final = 6379
RAY_DASHBOARD: Final = 8265
