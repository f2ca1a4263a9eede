"""Metrics, the evaluation loop, reports and benchmarks."""
