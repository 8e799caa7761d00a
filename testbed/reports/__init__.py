"""What a run looks like to people and to machines.

The law of this package: it reads results and writes text; it decides nothing about them.
"""
