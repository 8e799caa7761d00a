"""What every token of the server benchmark has in it."""

MARKER = b"zqjkvx"  # stands once in every token and nowhere else
