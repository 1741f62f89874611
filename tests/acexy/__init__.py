"""A stand-in for the plain Acexy (Javinator9889/acexy), as its engine and its viewers see it.

    ACEXY_LISTEN_ADDR=:8080 ACEXY_HOST=localhost ACEXY_PORT=6878 python -m tests.acexy

It does what the real one does, also where that is not wise:
- a viewer's `getstream` is the engine's, as JSON, with a `pid` of its own: 10 s in all;
- of what `playback_url` answers it reads no status; the headers of each hop have 10 s;
- URLs are used as they are given; at most ten requests follow one another by redirects, and at
  most ten connections are open to one address of a `playback_url`: the eleventh waits;
- the viewers of a content share one session and get its bytes in blocks of 4 MiB; what is left
  at the end is lost;
- a viewer that leaves while something is asked for it stops nothing; the last one's end is one
  stop, 3 s at most, under the lock that everything needs. When it fails, the reader stays.

It keeps no idle connections, and has no M3U8 mode. Standard library only, so that an image needs
nothing but Python beside it.
"""

from .serving import Acexy

__all__ = ["Acexy"]
