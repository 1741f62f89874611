"""The emulator, which as an engine does talks to others all the time, and answers at its port."""
