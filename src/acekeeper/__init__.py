"""Keeps AceStream engines running and hands them to players."""

__version__ = "0.1.0"
