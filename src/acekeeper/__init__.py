"""Keeps AceStream engines running and hands them to Acexy."""

__version__ = "0.1.0"
