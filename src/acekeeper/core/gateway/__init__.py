"""The rules by which players of the gateway get their engines, and lose them."""
