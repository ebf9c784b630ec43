"""Grafana dashboards made of the register: each panel once, asked for in Graphite's words and in Prometheus's.

`python -m nodepool_ng.telemetry.boards etc/grafana` writes them; a test holds the files current.
"""
