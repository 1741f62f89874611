"""What the role monitoring waits for, and what it says when that does not come."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .ports import free_port
from .serving import serving
from .strangers import stranger

ROLE = Path(__file__).parents[1] / "ansible/roles/monitoring"
SCRIPT = ROLE / "files/wait_until_scraped.py"


def target(host: str, health: str, error: str = "") -> dict[str, object]:
    return {"labels": {"instance": host}, "health": health, "lastError": error}


def prometheus(*answers: list[dict[str, object]]) -> AbstractContextManager[str]:
    """It gives one answer after the other, and the last again and again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = left.pop(0) if len(left) > 1 else left[0]
            body = json.dumps({"data": {"activeTargets": said}}).encode()
            self.send_response(200)
            self.end_headers()
            if "targets" in self.path:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def wait(seconds: float, url: str, ready: str, *hosts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(seconds), url, ready, "--", *hosts]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_waits_until_every_host_was_scraped() -> None:
    begins: list[dict[str, object]] = []
    one = [target("a", "up"), target("b", "unknown")]
    with prometheus(begins, begins, one, [target("a", "up"), target("b", "up")]) as url:
        waited = wait(60, url, f"{url}/-/ready", "a", "b")
    assert (waited.returncode, waited.stdout.strip()) == (0, "")


def test_it_says_which_host_was_not_scraped_and_why() -> None:
    with prometheus([target("a", "up"), target("b", "down", "it hangs")]) as url:
        waited = wait(0, url, f"{url}/-/ready", "a", "b", "c")
    assert waited.returncode == 1
    assert waited.stdout.splitlines() == [
        "b was not scraped: it hangs",
        "c was not scraped: not asked yet",
    ]


def test_it_says_what_does_not_answer() -> None:
    nobody = f"http://127.0.0.1:{free_port()}/-/ready"
    waited = wait(0, "http://127.0.0.1:1", nobody, "a")
    assert waited.returncode == 1
    assert f"{nobody} does not answer:" in waited.stdout


def test_what_is_no_web_server_does_not_answer() -> None:
    with stranger() as url:
        not_ready = wait(0, url, f"{url}/-/ready", "a")
        with prometheus([]) as another:
            not_told = wait(0, url, f"{another}/-/ready", "a")
    assert not_ready.stdout.startswith(f"{url}/-/ready does not answer: "), not_ready.stderr
    assert not_told.stdout.startswith(f"{url} does not say whom it scrapes: "), not_told.stderr


def test_no_task_is_retried_which_ansible_would_call_a_failure() -> None:
    for path in ROLE.glob("tasks/*.yml"):
        assert "retries:" not in path.read_text("utf-8"), path
