"""The kill matrix: every planted defect against every scenario that shows it, every correct client against all."""
