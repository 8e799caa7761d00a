"""Stream fault-injection testbed."""
