"""The document's integration test as it is written there, but for the address and the key of a
service of its own."""

from typing import Any

import httpx
import pytest

from ..contract.conftest import MakeService

API_KEY = "key-of-the-integration-test"


@pytest.fixture
async def base(service: MakeService) -> str:
    running = service({"API_KEY": API_KEY, "MIN_REPLICAS": 0})
    await running.start()
    return running.base.replace("127.0.0.1", "localhost")


class TestAcexyIntegration:
    @pytest.mark.asyncio
    async def test_health_ready_endpoint(self, base: str) -> None:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{base}/health/ready")
            assert response.status_code == 200
            assert "ready" in response.json()

    @pytest.mark.asyncio
    async def test_event_batching(self, base: str) -> None:
        batch: dict[str, Any] = {
            "started": [
                {
                    "engine": {"host": "localhost", "port": 19001},
                    "stream": {"key_type": "infohash", "key": "abc123"},
                    "session": {
                        "playback_session_id": "sess1",
                        "stat_url": "http://localhost:19001/stat",
                        "command_url": "http://localhost:19001/cmd",
                        "is_live": 1,
                    },
                }
            ],
            "ended": [],
        }

        async with httpx.AsyncClient() as client:
            response = await client.post(
                f"{base}/events/batch",
                headers={"Authorization": f"Bearer {API_KEY}"},
                json=batch,
            )
            assert response.status_code == 200
            results = response.json()
            assert len(results["started"]) == 1
            assert results["started"][0]["success"] is True
