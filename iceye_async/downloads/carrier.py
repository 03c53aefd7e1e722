"""The life of one file in a thread: whether it is there already, what to ask the link host, what its answers mean.

A transfer that breaks is tried again after a pause, as often in a row as the client's `RetryPolicy` says; a byte more
than ever before begins the count anew. What was brought is kept for the next try, and for the next run.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DownloadError, IceyeError, IntegrityError, LinkExpired, StateError, UsageError
from ..events import DownloadEvent, Failed, Finished, Interrupted, Progressed, Started
from ..holdings import Record
from ..protocol import linkreplies, replies
from ..protocol.contents import HEAD, is_error_page
from ..protocol.linkreplies import Object
from ..protocol.links import disposition, refusal
from ..protocol.retrying import PATIENCE, RetryPolicy
from .crew import Crew, Stopped
from .http import Answer, Links, Surplus
from .manifest import disk_error
from .meters import Meter, Tally
from .plan import Wish
from .renewal import Renewals
from .transfer import Claim, Cut, Target, Transfer

_EVERY = 0.1
"""Seconds between two events of one file."""


class _Again(Exception):
    """It may go better after a while, which the host may have said."""

    def __init__(self, error: IceyeError, floor: float = 0.0) -> None:
        super().__init__()
        self.error, self.floor = error, floor


class Carrier:
    """Brings one file, from its link to its final name."""

    def __init__(
        self,
        wish: Wish,
        target: Target,
        *,
        crew: Crew,
        links: Links,
        renewals: Renewals,
        policy: RetryPolicy,
        tally: Tally,
        twin: Finished | None,
    ) -> None:
        self.wish = wish
        self._target, self._crew = target, crew
        self._links, self._renewals = links, renewals
        self._policy, self._tally = policy, tally
        self._twin = twin
        """A file of this download that holds the same, where there is one."""
        self._transfer: Transfer | None = None
        self._started = False
        self._verified = False
        self._told, self._shown = 0.0, 0
        self._meter = Meter()

    def run(self) -> None:
        """Do it, and tell the crew what came of it."""
        outcome: DownloadEvent | BaseException | None = None
        try:
            outcome = self._carry()
        except Stopped:
            pass
        except IceyeError as error:
            self._tally.lost(self.wish.identity)
            outcome = Failed(asset=self.wish.asset, path=self._target.path, error=self._placed(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours, for the caller to see
            outcome = error
        self._crew.tell(self, outcome)

    def _carry(self) -> Finished:
        try:
            known = self._target.known()
            if known is not None:
                return self._finished(*known, known=True)
            self._refuse(self.wish.href)
            self._target.open()
            # Somebody may have brought it before this could be locked.
            known = self._target.known()
            if known is not None:
                return self._finished(*known, known=True)
            if self._twin is None or not self._copied(self._twin):
                self._fetch()
            self._progress(last=True)
            self._crew.check(patient=self._target.is_resumable)
            if not self._target.is_whole:
                raise self._error("bytes are missing of it; nothing was published, download it again", IntegrityError)
            return self._finished(*self._target.publish(verified=self._verified))
        except OSError as error:
            failure = disk_error(error, Path(self._target.path), self.wish.asset)
        finally:
            self._target.close()
        raise failure

    def _copied(self, twin: Finished) -> bool:
        """Whether it could be made of the file that holds the same, which somebody may have moved since."""
        try:
            self._target.take_over(twin.path)
        except FileNotFoundError:
            return False
        self._verified = twin.verified
        return True

    def _finished(self, path: Path | str, record: Record, *, known: bool = False) -> Finished:
        self._tally.done(self.wish.identity, record.size, known=known)
        return Finished(
            asset=self.wish.asset,
            path=path,
            size=record.size,
            sha256=record.sha256,
            known=known,
            verified=record.verified,
        )

    # --- errors ------------------------------------------------------------------------------------------------------

    def _error(self, why: str, kind: type[DownloadError] = DownloadError, **facts: Any) -> DownloadError:
        return kind(f"{self.wish.asset}: {why}", path=self._target.path, asset=self.wish.asset, **facts)

    def _placed(self, error: IceyeError) -> IceyeError:
        """The error with what it is about, and without the frames that it came through, which hold the link."""
        if isinstance(error, DownloadError):
            error.path = self._target.path if error.path is None else error.path
            error.asset = self.wish.asset if error.asset is None else error.asset
        error.__context__ = None
        return error.with_traceback(None)

    def _refuse(self, href: str) -> None:
        reason = refusal(href, local=self._crew.session.local)
        if reason is not None:
            raise self._error(f"{reason}; it was not followed")

    def _final(self, error: IceyeError) -> IceyeError:
        if isinstance(error, DownloadError | UsageError | StateError):
            return error
        kept = "what has arrived is kept, " if self._target.received and self._target.object.validator else ""
        return self._error(f"{error}; nothing was published, {kept}download it again")

    # --- until it is whole -------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        # An earlier run may have left all of it.
        self._verified = self._target.object.size is not None
        self._transfer = transfer = Transfer(self._target, self._crew, self._progress, self._help)
        try:
            self._persist(transfer)
            transfer.flush()
        finally:
            transfer.close()

    def _persist(self, transfer: Transfer) -> None:
        """Try until every byte is here, or as often in a row as the policy says."""
        failures, most = 0, self._target.received
        waits = self._policy.waits(random.random)
        next(waits)
        while True:
            try:
                if self._bring(transfer):
                    return
            except _Again as again:
                transfer.flush()
                if self._target.received > most:
                    failures, most = 0, self._target.received
                    waits = self._policy.waits(random.random)
                    next(waits)
                failures += 1
                asked = max(again.floor, getattr(again.error, "retry_after", None) or 0.0)
                if failures >= self._policy.tries or asked > PATIENCE:
                    raise self._final(again.error) from None
                self._pause(again.error, waits.send(again.error) + again.floor)

    def _pause(self, error: IceyeError, seconds: float) -> None:
        event = Interrupted(
            asset=self.wish.asset,
            path=self._target.path,
            received=self._target.received,
            error=self._placed(error),
            wait=seconds,
        )
        self._crew.tell(self, event)
        self._crew.pause(seconds)

    def _bring(self, transfer: Transfer) -> bool:
        """Bring what is missing next; whether nothing is."""
        claim = transfer.claim()
        if claim is None:
            return True
        try:
            answer, meaning = self._ask(claim)
            try:
                if isinstance(meaning, linkreplies.Whole):
                    self._target.object = self._ended(meaning.size)
                    self._verified = True
                    return True
                self._act(meaning, answer, transfer)
                assert isinstance(meaning, linkreplies.Take)  # noqa: S101 - everything else was raised
                self._take(transfer, claim, answer, meaning)
            finally:
                answer.close()
        finally:
            transfer.leave(claim)
        if self._target.object.size is None and meaning.anew:
            # Nothing was announced, but the framing of HTTP tells where the whole ends, and there it did.
            transfer.flush()
            self._target.object = self._ended(self._target.received)
        return False

    def _ended(self, size: int) -> Object:
        return Object(size=size, etag=self._target.object.etag, modified=self._target.object.modified)

    def _ask(self, claim: Claim) -> tuple[Answer, linkreplies.Meaning]:
        """What the host says to this claim, with one new link where it does not accept the old one."""
        refused, known = None, None
        while True:
            href = self._link(refused, known)
            asked, headers = self._range(claim)
            try:
                answer = self._links.get(href, headers, self._crew)
            except IceyeError as error:
                failure = error.with_traceback(None)
                raise (_Again(failure) if error.transient else self._final(failure)) from None
            meaning = linkreplies.meaning(answer.status, answer.headers, asked, self._target.object)
            if refused is not None or not isinstance(meaning, linkreplies.Expired):
                return answer, meaning
            answer.close()
            refused, known = href, replies.request_id(answer.headers)

    def _link(self, refused: str | None, request_id: str | None) -> str:
        try:
            href = self._crew.in_loop(lambda: self._renewals.link(self.wish, refused))
        except IceyeError as error:
            failure = error.with_traceback(None)
            if isinstance(failure, LinkExpired):
                failure.request_id = request_id
            raise (_Again(failure) if error.transient else failure) from None
        self._refuse(href)
        return href

    def _range(self, claim: Claim) -> tuple[tuple[int, int | None] | None, dict[str, str]]:
        """What to ask for. Only by a validator, so that the parts of two objects are never put together."""
        size, validator = self._target.object.size, self._target.object.validator
        if validator is None or (claim.at == 0 and claim.end == size):
            return None, {}
        last = "" if claim.end is None or claim.end == size else str(claim.end - 1)
        return (claim.at, claim.end), {"Range": f"bytes={claim.at}-{last}", "If-Range": validator}

    def _act(self, meaning: linkreplies.Meaning, answer: Answer, transfer: Transfer) -> None:
        """Raise what follows where no bytes come."""
        known = replies.request_id(answer.headers)
        match meaning:
            case linkreplies.Expired():
                told = "" if known is None else f" (its request {known})"
                why = (
                    f"the link host refused the link with 403, also after it was renewed{told}; ask for the item again"
                )
                raise self._error(why, LinkExpired, request_id=known)
            case linkreplies.Later(reason, broken):
                reply = replies.Reply(answer.status, answer.headers, b"", time.time())
                kind = IntegrityError if broken else DownloadError
                floor = replies.retry_after(reply) or 0.0
                when = f"in {floor:.0f} s" if floor else "later"
                raise _Again(self._error(f"{reason}; download it again {when}", kind, request_id=known), floor)
            case linkreplies.Refused(reason, True):
                why = f"{reason}; nothing was published, download it again, and report it where that does not help"
                raise self._error(why, IntegrityError, request_id=known)
            case linkreplies.Refused(reason):
                raise self._error(f"{reason}; ask for the item again, and download that", request_id=known)
            case linkreplies.Anew(reason):
                transfer.anew(Object())
                raise _Again(self._error(f"{reason}; download it again", IntegrityError, request_id=known))

    # --- the bytes ---------------------------------------------------------------------------------------------------

    def _take(self, transfer: Transfer, claim: Claim, answer: Answer, take: linkreplies.Take) -> None:
        if take.anew:
            # A page in its place must not cost what is here.
            head = self._head(answer)
            transfer.anew(take.object)
            claim.at, claim.end = take.span
            claim.limit = claim.end
        else:
            head = b""
            self._target.object = take.object
            transfer.announced(claim, *take.span)
        transfer.ranges = take.ranges and take.object.validator is not None
        self._verified = take.object.size is not None
        self._start(answer)
        with self._coming(transfer):
            transfer.read(claim, answer, head, leads=True)

    def _head(self, answer: Answer) -> bytes:
        """The first bytes of a file, where they are not an error page's."""
        buffer = memoryview(bytearray(HEAD))
        got = 0
        with self._coming():
            while got < HEAD and (came := self._more(answer, buffer[got:], got)):
                got += came
        head = bytes(buffer[:got])
        if is_error_page(head, answer.headers.get("Content-Type", ""), self.wish.type):
            expected = (self.wish.type or "").partition(";")[0] or "a file"
            why = f"an error page came where {expected} was expected; nothing was published"
            raise self._error(f"{why}, see what stands between here and the link host", IntegrityError)
        return head

    def _start(self, answer: Answer) -> None:
        if self._started:
            self._target.check_room()
            return
        told = disposition(answer.headers.get("Content-Disposition", ""))
        if told is not None:
            self._target.name_it(self.wish.name_from_host(told))
        self._target.check_room()
        self._started = True
        self._tally.began(self.wish.identity, self._target.received)
        size, resumed = self._target.object.size, self._target.received
        self._crew.tell(self, Started(asset=self.wish.asset, path=self._target.path, size=size, resumed=resumed))

    def _more(self, answer: Answer, view: memoryview, got: int) -> int:
        try:
            return answer.readinto(view)
        except IceyeError:
            if not got:
                raise
            # What came before is worth keeping; the next one who reads hears of it again.
            return 0

    @contextmanager
    def _coming(self, transfer: Transfer | None = None) -> Iterator[None]:
        """What goes wrong while bytes come, as what follows from it."""
        try:
            yield
        except Cut:
            raise _Again(self._error("the link host sent less than it had said; download it again")) from None
        except Surplus:
            if transfer is not None:
                transfer.anew(Object())
            why = "the link host sends more than it had said; nothing was published, download it again"
            raise self._error(why, IntegrityError) from None
        except IceyeError as error:
            failure = error.with_traceback(None)
            raise (_Again(failure) if error.transient else failure) from None

    def _help(self, transfer: Transfer, claim: Claim) -> bool:
        """Fill a claim over one more connection. False where that went wrong, and the leader goes on."""
        answer: Answer | None = None
        try:
            answer, meaning = self._ask(claim)
            transfer.hired(claim, answer)
            if isinstance(meaning, linkreplies.Take) and not meaning.anew:
                transfer.announced(claim, *meaning.span)
                with self._coming():
                    transfer.read(claim, answer, b"", leads=False)
                return True
        except (IceyeError, _Again, Stopped, OSError) as error:
            # Its frames hold the link, and an error reporter may hold the error.
            error.__traceback__ = None
        finally:
            if answer is not None:
                answer.close()
        return False

    def _progress(self, *, last: bool = False) -> None:
        now = time.monotonic()
        received, size = self._target.received, self._target.object.size
        if (now - self._told < _EVERY and not last) or received in {0, self._shown}:
            return
        first = not self._shown
        self._told, self._shown = now, received
        event = Progressed(
            asset=self.wish.asset,
            path=self._target.path,
            received=received,
            size=size,
            rate=self._meter.rate(received, now),
            totals=self._tally.totals(self.wish.identity, received, size),
        )
        # The first is waited for: who stops there finds the file on its way, and not already whole.
        self._crew.tell(self, event, wait=first)
