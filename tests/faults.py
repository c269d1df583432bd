"""A proxy in front of a server: counts requests, and answers some of them badly on demand."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from tests.servers import HOST, Store, free_port, gs_server, s3_server

_HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "date", "server"})
_START_S = 10.0
_SESSION = web.AppKey("session", aiohttp.ClientSession)


@dataclass(frozen=True)
class Seen:
    """A request that came through: its method, and its path without the query, decoded."""

    method: str
    path: str
    query: str


@dataclass
class Fault:
    """What happens to requests.

    Attributes:
        status: answered instead of asking the server; 0 to ask it.
        wait_s: time before the answer.
        cut: break the connection off in the middle of the answer.
        times: how many requests it happens to; None for all.
        where: which requests it happens to.
    """

    status: int = 0
    wait_s: float = 0.0
    cut: bool = False
    times: int | None = None
    where: Callable[[Seen], bool] = lambda seen: True


@dataclass
class Proxy:
    """Passes requests on to a server.

    Attributes:
        port: where it listens.
        target: port of the server.
        seen: the requests, in the order in which they came.
        faults: what happens to requests; the first that fits one counts.
    """

    port: int
    target: int = 0
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def counts(self, *, start: int = 0) -> Counter[str]:
        """Returns how many requests of each method came, from a number on."""
        return Counter(seen.method for seen in self.seen[start:])

    def _fault(self, seen: Seen) -> Fault:
        for fault in self.faults:
            if fault.times != 0 and fault.where(seen):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return Fault()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        body = await request.read()
        seen = Seen(request.method, unquote(request.rel_url.raw_path), request.rel_url.raw_query_string)
        self.seen.append(seen)
        fault = self._fault(seen)
        await asyncio.sleep(fault.wait_s)
        if fault.status:
            return web.Response(status=fault.status, text="a fault that was asked for")
        status, headers, data = await self._ask(request, body)
        answer = web.StreamResponse(status=status, headers=headers)
        with contextlib.suppress(ConnectionError):
            await answer.prepare(request)
            if request.method != "HEAD":
                await answer.write(data[: len(data) // 2] if fault.cut else data)
            if fault.cut and request.transport:
                request.transport.close()
        return answer

    async def _ask(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        url = URL(f"http://{HOST}:{self.target}{request.raw_path}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        headers.pop("Expect", None)
        session = request.app[_SESSION]
        try:
            async with session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as found:
                data = await found.read()
                kept = {name: v for name, v in found.headers.items() if name.lower() not in _HOP_HEADERS}
                return found.status, kept, data
        except aiohttp.ClientConnectionError:
            if request.transport:
                request.transport.abort()
            return 502, {}, b""


@contextlib.contextmanager
def proxy() -> Iterator[Proxy]:
    """Runs a proxy in a thread; ``target`` is set once the server is known."""
    made = Proxy(free_port())
    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(made, ready, ended),), daemon=True)
    thread.start()
    try:
        assert ready.wait(_START_S)
        yield made
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def _serve(made: Proxy, ready: threading.Event, ended: asyncio.Event) -> None:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with aiohttp.ClientSession(
        auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60)
    ) as session:
        app[_SESSION] = session
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, made.port).start()
        ready.set()
        await ended.wait()
        await runner.cleanup()


_SERVERS: dict[str, Any] = {"gs": gs_server, "s3": s3_server}


@contextlib.contextmanager
def watched(kind: str, folder: Path) -> Iterator[tuple[Store, Proxy]]:
    """Runs a server of its own, ``gs`` or ``s3``, behind a proxy."""
    with proxy() as before, _SERVERS[kind](folder, seen_at=before.port) as store:
        before.target = store.server.port
        yield store, before
