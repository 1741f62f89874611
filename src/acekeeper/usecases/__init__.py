"""What the service does, in terms of facts and actions."""
