"""Health check of a node, as the load balancer makes it."""

import http.client


def asked(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/-/healthz")
    status = connection.getresponse().status
    connection.close()
    return status
