"""Metrics of the station for Prometheus, on a loopback port: docs/metrics.md."""
