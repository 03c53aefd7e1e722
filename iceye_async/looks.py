"""Looks at a task and its scene, as whoever waits takes them: the answer as something heard.

An error that a later look may mend is heard too; any other is raised.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from .errors import ApiError, DecodeError, IceyeError, TransportError
from .protocol import replies, requests
from .protocol.waiting import NoScene, PollState, SceneSeen, TaskSeen, timed_out
from .session import Session

A = TypeVar("A")

LAST_LOOK = 2.0
"""Seconds that a look which is still unanswered at the deadline is given."""
FAR = 3600.0
"""Seconds. A look this far from the deadline needs no timer for it: its request has a bound of its own."""


async def at_task(session: Session, task_id: str, patience: float) -> TaskSeen:
    return TaskSeen(replies.task(await session.look(requests.get_task(task_id), patience)), session.wall())


async def at_scene(session: Session, task_id: str, patience: float) -> SceneSeen | NoScene:
    """That the scene could not be had is heard, whatever the reason: it is done without."""
    try:
        reply = await session.look(requests.get_scene(task_id), patience)
        return SceneSeen(replies.scene(reply, task_id), session.wall())
    except (ApiError, TransportError, DecodeError) as error:
        return NoScene(kept(session, error))


async def in_time(look: Coroutine[Any, Any, A], state: PollState, left: float) -> A:
    """What the look gives; `PollTimeout` where that takes longer than until the deadline, `left` seconds from now."""
    try:
        async with asyncio.timeout(left + LAST_LOOK) as bound:
            return await look
    except TimeoutError:
        if not bound.expired():
            raise
    raise timed_out(state)


def kept(session: Session, error: IceyeError) -> IceyeError:
    """The error, fit to be kept for as long as the wait sleeps: its frames hold the whole body."""
    return session.cleaned(error).with_traceback(None)
