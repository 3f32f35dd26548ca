"""The model-client guard: a stopped run makes no further model call, whatever its framework does.

It wraps what httpx, httpx2, requests, aiohttp and botocore send a request with, once the
application imports them, and asks `enforcement` before each model call (`model_calls`).  Everything
else passes untouched, so that a run that was stopped can still clean up.  While no run of the
process has a verdict it reads one attribute per request.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, NamedTuple

from otel_agentrun import enforcement, runtime
from otel_agentrun.model_calls import ModelHosts, is_model_call
from otel_agentrun.workflow_streams import ending_stream

__all__ = ["install", "uninstall"]

MARK: Final = "__agentrun_guard__"

Request = tuple[str, str, Mapping[str, Any]]
"""Method, URL, headers."""


class Place(NamedTuple):
    """A method that is wrapped."""

    module: str
    """What an application imports; complete once this is."""
    path: str
    """Of the method, from there."""
    wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]
    """Makes what is in its place of it."""


def _of_request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
    """`send(request)` of httpx, requests and botocore."""
    request = args[0] if args else kwargs["request"]
    return str(request.method), str(request.url), request.headers or {}


def _of_aiohttp(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
    """`_request(method, url)`; the path may come after the base URL of the session."""
    method, url = (*args, *(kwargs[name] for name in ("method", "str_or_url") if name in kwargs))[
        :2
    ]
    return str(method), str(url), dict(kwargs.get("headers") or {})


def _sync(request: Callable[..., Request], send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if runtime.active().verdicts.active and _is_model_call(self, request, args, kwargs):
            enforcement.check(enforcement.here())
        return send(self, *args, **kwargs)

    return guarded


def _async(request: Callable[..., Request], send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    async def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if runtime.active().verdicts.active and _is_model_call(self, request, args, kwargs):
            await enforcement.check_async(enforcement.here())
        return await send(self, *args, **kwargs)

    return guarded


def _is_model_call(
    client: Any, request: Callable[..., Request], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    hosts = _hosts
    if hosts is None:
        return False
    try:
        method, url, headers = request(args, kwargs)
        base = getattr(client, "_base_url", None)
        if "://" not in url and base is not None:  # aiohttp joins them later
            url = str(base.join(type(base)(url)))
        return is_model_call(method, url, headers, hosts)
    except Exception as trouble:
        runtime.warn_of("guard_request_not_read", trouble)
        return False


PLACES: Final = (
    Place("httpx", "Client.send", partial(_sync, _of_request)),
    Place("httpx", "AsyncClient.send", partial(_async, _of_request)),
    Place("httpx2", "Client.send", partial(_sync, _of_request)),
    Place("httpx2", "AsyncClient.send", partial(_async, _of_request)),
    Place("requests", "sessions.Session.send", partial(_sync, _of_request)),
    Place("aiohttp", "client.ClientSession._request", partial(_async, _of_aiohttp)),
    Place("botocore.httpsession", "URLLib3Session.send", partial(_sync, _of_request)),
    Place("workflows.plugins.basic", "BasicRuntime.run_workflow", ending_stream),
)
MODULES: Final = frozenset(place.module for place in PLACES)

_hosts: ModelHosts | None = None
"""`None`: the guard is off, and wrappers that are left somewhere do nothing."""
_lock = threading.Lock()


def install(hosts: Sequence[str] = ()) -> None:
    """Guard these clients, now or once they are imported; again: with other `hosts`.

    Raises `ValueError` for what is no host.
    """
    global _hosts
    made = ModelHosts(tuple(hosts))
    with _lock:
        _hosts = made
        if _later not in sys.meta_path:
            sys.meta_path.insert(0, _later)
        for name in MODULES:
            module = sys.modules.get(name)
            if module is not None:
                _wrap(module)


def uninstall() -> None:
    """As before.  Where somebody has wrapped our wrapper it stays, and does nothing."""
    global _hosts
    with _lock:
        _hosts = None
        if _later in sys.meta_path:
            sys.meta_path.remove(_later)
        for place in PLACES:
            found = _find(sys.modules.get(place.module), place.path)
            if found is not None and MARK in vars(found[2]):
                setattr(found[0], found[1], found[2].__wrapped__)


# ---------------------------------------------------------------------- wrapping


def _find(module: ModuleType | None, path: str) -> tuple[Any, str, Any] | None:
    """Owner, name and function; `None` where this version of the package has no such thing."""
    owner: Any = module
    *names, last = path.split(".")
    for name in names:
        owner = getattr(owner, name, None)
    function = vars(owner).get(last) if isinstance(owner, type) else None
    return (owner, last, function) if callable(function) else None


def _wrap(module: ModuleType) -> None:
    for place in PLACES:
        if place.module != module.__name__:
            continue
        found = _find(module, place.path)
        if found is None:
            runtime.warn_once(
                f"guard_not_installed method={place.module}.{place.path}: this version of "
                f"{place.module} has no such method; it does not notice that a run was stopped."
            )
            continue
        owner, name, function = found
        if not _is_wrapped(function):
            wrapped = place.wrapper(function)
            setattr(wrapped, MARK, True)
            setattr(owner, name, wrapped)


def _is_wrapped(function: Any) -> bool:
    """By us, possibly below others."""
    while function is not None:
        if MARK in getattr(function, "__dict__", {}):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


class _Later(MetaPathFinder):
    """Wraps the clients once they are imported.  It finds nothing itself: others find, and the
    loader that they give is asked to call us when it is done."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES or getattr(self._busy, "name", "") == fullname:
            return None
        self._busy.name = fullname
        try:
            for finder in sys.meta_path:
                find = getattr(finder, "find_spec", None) if finder is not self else None
                spec: ModuleSpec | None = find and find(fullname, path, target)
                if spec is not None:
                    _wrap_when_loaded(spec)
                    return spec
        finally:
            self._busy.name = ""
        return None


def _wrap_when_loaded(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        execute(module)
        try:
            if _hosts is not None:
                _wrap(module)
        except Exception as trouble:
            runtime.warn_of("guard_not_installed", trouble)

    # Of this loader object alone: what else it can do (reading resources) stays as it is.
    loader.exec_module = exec_module


_later: Final = _Later()
