"""The fake server: a Starlette app that plays scripts."""
