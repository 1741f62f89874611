"""The store against the real SQLite."""

from pathlib import Path

from acekeeper.adapters.store import Store
from acekeeper.core.model import Changes, Engine, Now
from acekeeper.core.names import Slot

NOW = Now(1_700_000_000.0, 1_000.0)


async def test_what_was_written_is_loaded_by_the_next_run(tmp_path: Path) -> None:
    engine = Engine(slot=Slot("127.0.0.1", 19000), start="s1", asked=NOW)
    store = Store(tmp_path / "acekeeper.db", 7)
    store.load(NOW)
    await store.write(Changes(engines={engine.slot: engine}))
    await store.close()

    again = Store(tmp_path / "acekeeper.db", 7)
    assert list(again.load(NOW).engines) == [engine]
    await again.close()
