"""Static files: kept by browsers for a year under an address that changes with the content, and sent compressed.

They are served from the installed packages (WHITENOISE_USE_FINDERS), so no step of an installation can be forgotten,
and no second copy can be outdated. Their addresses get `?v=` and a digest of the content. Whoever asks without it, or
with that of an older file, is told to ask again after a minute; for fonts and pictures, after a month.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from whitenoise.middleware import WhiteNoiseMiddleware

_YEAR = "public, max-age=31536000, immutable"
# Of what style sheets refer to, by addresses without a digest; a new release brings it under a new name, if at all.
_MONTH = "public, max-age=2592000"
_REFERRED_TO = frozenset({".woff", ".woff2", ".ttf", ".png", ".gif", ".jpg", ".webp", ".ico"})
# Fonts and pictures are compressed already. Shorter files become no shorter.
_COMPRESSED = frozenset({".css", ".js", ".svg", ".json", ".map", ".txt", ".html"})
_SHORTEST = 500
_ACCEPTS_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)


class Versioned(StaticFilesStorage):
    """Adds a digest of the content to the address of each file."""

    def url(self, name: str | None) -> str:
        """Return the address; without a digest where no installed package has such a file."""
        address = super().url(name)
        found = finders.find(name) if name else None
        return f"{address}?v={digest(found)}" if isinstance(found, str) else address


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # whitenoise has no types
    """WhiteNoise, whose answers are compressed and may be kept for a year where the address has the digest."""

    # The files of the installed packages, by address. A process has several of these middlewares, and tests thousands.
    _found: ClassVar[dict[str, Any]] = {}
    files: dict[str, Any]

    def add_files_from_finders(self) -> None:
        """Look for the files once in a process, which takes 50 ms: installed packages stay as they are."""
        if not self._found:
            super().add_files_from_finders()
            self._found.update(self.files)
        self.files = dict(self._found)

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        """Return the file, or that it has not changed."""
        response: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
        path = static_file.alternatives[0][1]
        if request.GET.get("v") == digest(path):
            response.headers["Cache-Control"] = _YEAR
        elif Path(path).suffix in _REFERRED_TO:
            response.headers["Cache-Control"] = _MONTH
        if response.status_code != 200 or Path(path).suffix not in _COMPRESSED:
            return response
        patch_vary_headers(response, ["Accept-Encoding"])
        short = _gzipped(path) if _ACCEPTS_GZIP.search(request.headers.get("Accept-Encoding", "")) else None
        if short is None:
            return response
        sent = HttpResponse(b"" if request.method == "HEAD" else short, headers=dict(response.headers))
        sent.headers["Content-Encoding"] = "gzip"
        sent.headers["Content-Length"] = str(len(short))
        # The tag is that of the file as it is; the time of its last change is as good.
        del sent.headers["ETag"]
        response.close()
        return sent


class CompressPages(GZipMiddleware):
    """Compress pages and the API's answers. Streams are sent as they come, and so is what is short."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return the response, compressed if its reader can read that."""
        if response.streaming or response.status_code != 200:
            return response
        return super().process_response(request, response)


@lru_cache(maxsize=4096)
def digest(path: str) -> str:
    """Return what the address of a file has as its version. Installed files do not change while a process lives."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=1024)
def _gzipped(path: str) -> bytes | None:
    """Return the file compressed, None where that is no gain. All of the admin's files take less than 2 MB so."""
    content = Path(path).read_bytes()
    short = gzip.compress(content, compresslevel=9, mtime=0) if len(content) >= _SHORTEST else content
    return short if len(short) < len(content) else None
