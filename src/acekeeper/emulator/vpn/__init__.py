"""A VPN as Gluetun shows it: a control server and a health server, and counters of its tunnel.

It has no tunnel: what is behind it reaches the network as it would without.
"""
