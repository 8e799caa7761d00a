"""Judging: from a plan and a trace to findings."""
