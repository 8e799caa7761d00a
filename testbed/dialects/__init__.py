"""The dialects: one pure file each."""
