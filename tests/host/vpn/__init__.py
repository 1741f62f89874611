"""VPNs for tests: a stand-in for Gluetun, a provider, and a look at what is on the wire."""
