"""Benchmarks: one module a question, `python -m benchmarks.NAME`; a table for people, one JSON line last with --json."""
