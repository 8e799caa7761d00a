"""Clients under test, and what it takes to drive them."""
