"""A stand-in for Gluetun, made for tests: what acekeeper, its unit and its rules can see of one.

Like the original it is slow to doubt: a tunnel through which nothing comes is taken for a good one
for a minute, and is then made anew. SIGUSR1 takes the tunnel away, and SIGUSR2 gives it back.
"""
