import os
import sys

from .serving import Acexy

host, _, port = os.environ.get("ACEXY_LISTEN_ADDR", ":8080").rpartition(":")
engine = f"{os.environ.get('ACEXY_HOST', 'localhost')}:{os.environ.get('ACEXY_PORT', '6878')}"
acexy = Acexy(engine, host, int(port))
acexy.listen()
sys.stdout.write(f"Starting server on {acexy.url}\n")
sys.stdout.flush()
