"""Acexy's dialect over HTTP; it decides nothing."""
