"""Who may look, and at which files: hosts, the token, and paths that lead out of the results.

On this machine's own address (127.0.0.1) no token is asked for, and only requests that name this machine are answered, so that a
web page whose name is made to point here (DNS rebinding) reads nothing. Everywhere else a token is demanded.
"""

from __future__ import annotations

import html
import ipaddress
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, redirect, request

from groklab.results.files import StoreError

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class OutsideError(StoreError):
    """A path that leads out of the results folder, as symbolic links can."""


def check_inside(root: Path, path: Path) -> Path:
    """The path; OutsideError where it, with all links followed, is not below the folder ``root`` (which is itself resolved)."""
    real = Path(os.path.realpath(path))
    if real != root and root not in real.parents:
        raise OutsideError(f"{path.relative_to(root)} is a link to a place outside the results folder, which the dashboard does not read.")
    return path


def check_file(root: Path, path: Path) -> os.stat_result | None:
    """What the filesystem says of a file, None where there is none; OutsideError for a link out of the folder, StoreError for a pipe or device."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            check_inside(root, path)
            found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise StoreError(f"{path.relative_to(root)} is no file.")  # reading a pipe would wait for ever
    return found


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """What is asked of every request."""

    hosts: frozenset[str] | None
    """Names by which this machine may be called in a request; None: any, as a token is asked for."""
    token: str | None
    """What has to be shown; None: nothing."""
    cookie: str = "groklab"
    """Name of the cookie that holds it."""

    @classmethod
    def of(cls, host: str, port: int, *, with_token: bool = False) -> Guard:
        """The guard of an address: this machine's own needs no token, any other one is given a new one."""
        own = is_loopback(host)
        token = secrets.token_urlsafe(24) if with_token or not own else None
        return cls(frozenset({"127.0.0.1", "localhost", "::1", host}) if own else None, token, f"groklab-{port}")

    def watch(self, server: Flask, script_hashes: Sequence[str]) -> None:
        """Stand before and behind every answer of a server."""
        policy = "; ".join(
            (
                "default-src 'self'",
                f"script-src 'self' {' '.join(script_hashes)}",
                "style-src 'self' 'unsafe-inline'",  # Plotly and React set styles of elements
                "img-src 'self' data: blob:",
                "worker-src 'self' blob:",
                "object-src 'none'",
                "base-uri 'none'",
                "form-action 'self'",
                "frame-ancestors 'none'",
            )
        )

        def before() -> Any:
            return self._check()

        def after(answer: Response) -> Response:
            answer.headers.update({**_HEADERS, "Content-Security-Policy": policy})
            if not request.path.startswith("/_dash-component-suites/"):
                answer.headers["Cache-Control"] = "no-store"
            return answer

        server.before_request(before)
        server.after_request(after)

    def _check(self) -> Any:
        """None where a request may be answered; the way to the page without the token in its address where it has just been shown."""
        if self.hosts is not None and _name_of(request.host) not in self.hosts:
            abort(403, f"This address is answered as {' or '.join(sorted(self.hosts))} only.")
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and not _is_visit():
            abort(403, "Other sites may link here, and nothing else.")
        origin = request.headers.get("Origin")
        if origin not in (None, f"http://{request.host}", f"https://{request.host}"):
            abort(403, "Other sites may not ask here.")
        if self.token is None:
            return None
        shown = request.args.get("token")
        if shown is not None and self._fits(shown):
            rest = [(name, value) for name, value in request.args.items(multi=True) if name != "token"]
            answer = _sent_to(_path_with(request.path, rest))
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict")
            return answer
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self._fits(request.cookies.get(self.cookie, "")) and not self._fits(bearer):
            abort(401, "This dashboard asks for its token: open the address that `groklab dashboard` has printed.")
        return None

    def _fits(self, shown: str) -> bool:
        return self.token is not None and secrets.compare_digest(shown.encode(), self.token.encode())


def _name_of(host: str) -> str:
    """A Host header without its port: ``[::1]:8050`` is ``::1``."""
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0].lower() if host.count(":") == 1 else host.lower()


def _sent_to(path: str) -> Response:
    """The way to another address of this site. Who was sent here by another one is led there by a page of this one.

    Browsers keep a cookie that is for this site alone (SameSite=Strict) from every step of a way that began elsewhere, as in a file.
    """
    if request.headers.get("Sec-Fetch-Site") != "cross-site":
        answer: Any = redirect(path)
        return answer
    return Response(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={html.escape(path)}">\n', mimetype="text/html"
    )


def _is_visit() -> bool:
    return request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"


def _path_with(path: str, values: list[tuple[str, str]]) -> str:
    from urllib.parse import quote, urlencode

    # One slash: //host would be another site.
    return "/" + quote(path.lstrip("/")) + ("?" + urlencode(values) if values else "")
