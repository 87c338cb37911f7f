"""HTML to PDF by WeasyPrint: in this process, without a running server, without the network."""

import logging
import mimetypes
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from odoo import http
from weasyprint import HTML
from weasyprint.urls import URLFetcher, URLFetcherResponse

#: Addresses of a document are relative to this host; the name can never be resolved (RFC 2606).
BASE_URL = "http://odoo.invalid/"
_ASSET = re.compile(r"/web/assets/[^/]+/(?P<filename>[^/]+\.css)")
#: Two metres in CSS pixels.
_ROLL = 2000 / 25.4 * 96
# Seven lines for each document say nothing.
logging.getLogger("weasyprint.progress").setLevel(logging.WARNING)


class LocalFetcher(URLFetcher):
    """Serves ``data:`` addresses, static files of the addons and asset bundles, and nothing else."""

    def __init__(self, env):
        super().__init__(allowed_protocols=("data",), allow_redirects=False)
        self._env = env

    def fetch(self, url, headers=None):
        if not url.startswith(BASE_URL):
            return super().fetch(url, headers)  # refuses all but data:
        path = unquote(urlsplit(url).path)
        content = self._static(path) or self._asset(path)
        if content is None:
            raise ValueError(f"Not a static file or a stylesheet: {path}")
        content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return URLFetcherResponse(url, content, {"Content-Type": content_type})

    def _static(self, path):
        """Content of ``/module/static/…``, None for other addresses."""
        filename = None if ".." in path.split("/") else http.root.get_static_file(path)
        return Path(filename).read_bytes() if filename else None

    def _asset(self, path):
        """Content of the stylesheet bundle ``/web/assets/…``, None for other addresses."""
        match = _ASSET.fullmatch(path)
        if not match:
            return None
        bundle, rtl, _kind, autoprefix = self._env["ir.asset"]._parse_bundle_name(
            match["filename"], False
        )
        return (
            self._env["ir.qweb"]
            ._get_asset_bundle(bundle, js=False, rtl=rtl, autoprefix=autoprefix)
            .css()
            .raw
        )


def html_to_pdf(env, html):
    """Print one document.

    A page of more than two metres is paper from a roll: it ends where its text ends.

    :param str html: all pages; their size is set by ``@page`` of its stylesheet
    :rtype: bytes
    """
    options = {"presentational_hints": True, "optimize_images": True, "dpi": 300}
    document = HTML(string=html, base_url=BASE_URL, url_fetcher=LocalFetcher(env)).render(**options)
    for page in document.pages:
        if page.height > _ROLL:
            (root,) = page._page_box.children[:1]
            page.height = root.margin_height()
    return document.write_pdf(**options)
