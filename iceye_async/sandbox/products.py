"""What comes of a task: its products and derivatives, each with new links to its files.

Sources: the API pages "Task products" and "Task derivatives".
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from aiohttp import web
from attrs import evolve, frozen

from . import documents, pages
from .links import File, LinkOrigin
from .orders import Story
from .refusals import Refused
from .tasks import Tasks
from .world import World


@frozen
class Source:
    """Of what a file is made: an asset of a product, or a derivative."""

    story: Story
    kind: str
    """The type of the product or derivative."""
    number: int = 1
    """Which one of this type."""

    @property
    def id(self) -> str:
        return self.thing(self.kind)

    @property
    def picture(self) -> documents.Picture:
        order, frames = self.story.order, self.story.course.frames
        return documents.Picture(order.id, order.body, self.story.picture(), 1 + (self.number - 1) % frames, frames)

    @property
    def image(self) -> str:
        """The id of the picture."""
        return evolve(self, number=self.picture.frame).thing("image")

    def thing(self, what: str) -> str:
        return self.story.order.thing(what if self.number == 1 else f"{what} {self.number}")


def _cursor(request: web.Request) -> dict[str, str]:
    """All that lists of products can be asked with; `limit` is for others."""
    return {name: value for name, value in request.query.items() if name == "cursor"}


class Products:
    """The calls on products and derivatives. The links are to files of `links`."""

    def __init__(self, world: World, tasks: Tasks, links: LinkOrigin) -> None:
        self._world, self._tasks, self._links = world, tasks, links

    async def list(self, request: web.Request) -> web.Response:
        story = self._tasks.find(request)
        asked = request.match_info.get("type")
        found = [source for source in self._available(story) if asked in {None, source.kind}]
        if not found:
            # So it was said of version 1 (404, and no empty list), and nothing else of version 2. Whether the service
            # tells a type that was not ordered from one that is not ready is not published.
            raise Refused(404, "not_found", "no products are available yet")
        shown, cursor = pages.page(found, lambda product: product.id, _cursor(request), lambda _: True)
        # The samples of this page, and of no other, show an empty cursor at the end.
        return web.json_response({"data": [self._document(product) for product in shown], "cursor": cursor or ""})

    async def derivatives(self, request: web.Request) -> web.Response:
        story = self._tasks.find(request)
        kinds = dict.fromkeys(story.order.body.get("derivativeProductTypes", []))
        listed = [entry for kind in kinds for entry in self._derivatives(story, kind)]
        ready = [entry for entry in listed if entry["assets"]]
        if not ready:
            raise Refused(404, "not_found", "no derivative products are available yet")
        return web.json_response({"data": listed}, status=200 if len(ready) == len(listed) else 206)

    def _available(self, story: Story) -> Iterator[Source]:
        """The products that are there: of each type one of each frame."""
        now = self._world.clock.utc()
        if story.state(now)[0] in {"FULFILLED", "DONE"}:
            for kind in story.order.kinds:
                if story.ready(kind) <= now:
                    yield from (Source(story, kind, frame) for frame in range(1, story.course.frames + 1))

    def _derivatives(self, story: Story, kind: str) -> Iterator[dict[str, Any]]:
        """All of this type, with links for those that have been made."""
        order, age = story.order, story.order.age(self._world.clock.utc())
        for number, since in enumerate(story.detected(kind), 1):
            source = Source(story, kind, number)
            made = since <= age and order.canceled is None
            href = self._link(source, kind, source.id, order.at(since)) if made else None
            yield documents.derivative(source.id, kind, source.image, href)

    def _document(self, product: Source) -> dict[str, Any]:
        links = {key: self._asset(product, key) for key in documents.keys_of(product.kind)}
        return documents.product(product.id, product.kind, product.picture, product.story.ready(product.kind), links)

    def _asset(self, product: Source, key: str) -> str:
        """A new link to an asset.

        The products of a picture have their previews in common, which are as old as the first of them: the path is the
        same, the signature is each one's own.
        """
        if documents.is_preview(key):
            return self._link(product, key, product.thing("previews"), product.story.ready())
        return self._link(product, key, product.id, product.story.ready(product.kind))

    def _link(self, source: Source, key: str, folder: str, ready: datetime) -> str:
        course, picture = source.story.course, source.picture
        file = File(
            key=(picture.task_id, f"{key} {source.number}"),
            media=documents.media(key),
            modified=ready.replace(microsecond=0),
            name=documents.told_name(source.kind, key, picture) if course.names else None,
            size=course.sizes.get(key),
            make=partial(documents.file, key, picture, source.number),
        )
        last = key if key in documents.ASSETS else documents.detection_file(key)
        return self._links.link(f"{folder}/{last}", source.id, file, course.link_life)
