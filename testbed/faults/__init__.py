"""Faults: pure changes of a script's bytes (`content`), and toxics with the model that carries them out."""
