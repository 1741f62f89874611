"""Commits wake the event loop for those who follow, and only then."""

import asyncio

import pytest

from acekeeper.api.followers import Followers


@pytest.mark.parametrize("follows", [True, False])
async def test_a_commit_wakes_the_event_loop_if_somebody_follows(
    monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    loop, wakes = asyncio.get_running_loop(), 0
    call = loop.call_soon_threadsafe

    def counted(callback: object, *given: object) -> object:
        nonlocal wakes
        wakes += 1
        return call(callback, *given)  # type: ignore[arg-type]

    followers = Followers()
    woken = followers.enter()
    if not follows:
        followers.leave(woken)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_soon_threadsafe", counted)
        followers.committed()
    await asyncio.sleep(0)
    assert (wakes, woken.is_set()) == (int(follows), follows)
