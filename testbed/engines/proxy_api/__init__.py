"""A drop-in for toxiproxy-server: its HTTP API over our own model of the network, and nothing to install.

The law of this package: what a client of Toxiproxy 2.12 can see is the same here, recorded exchange by exchange,
but for the differences that :data:`testbed.engines.proxy_api.differences.DIFFERENCES` lists.
"""

from testbed.engines.proxy_api.serve import DEFAULT_PORT, serve_proxy_api

__all__ = ["DEFAULT_PORT", "serve_proxy_api"]
