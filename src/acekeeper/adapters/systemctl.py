"""What a person is advised to ask the user's systemd."""

import os
import pwd
import shlex


def systemctl(*words: str) -> str:
    """As it is pasted, by root or by this user itself."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return shlex.join(["systemctl", "--user", "-M", f"{user}@", *words])
