"""Ports that security groups open; where possible no default port that scanners try first."""

from typing import Final

from infra import contract

HTTPS: Final = 443
API: Final = contract.PORT
# Port of the entrypoint's health check for the load balancer (node/health.py).
HEALTH: Final = 8001
DATABASE: Final = 5433
CACHE: Final = 6380
# Port of MSK with TLS and IAM, set by AWS.
KAFKA: Final = 9098
# Ports of Ray's GCS and dashboard on the head; the dashboard is open to engineers on the VPN.
RAY_HEAD: Final = 6379
RAY_DASHBOARD: Final = 8265
