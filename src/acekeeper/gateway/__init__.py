"""Speaks the engine's own HTTP API to any player. It decides nothing, and no video passes it."""
