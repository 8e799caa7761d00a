"""The network that carries plans: one module an engine."""
