"""One self-contained HTML file out of a template.

Nothing on a page comes from elsewhere, and nothing in it can run but our script:
names come from files, so the templates escape everything and every page carries a
content security policy.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render", "write_page"]


def render(template: str, parts: dict[str, Any]) -> bytes:
    """Return a page; equal parts give equal bytes."""
    page = _environment().get_template(template).render(parts)
    # names may hold bytes that are no UTF-8; they are shown escaped
    return page.encode("utf-8", "backslashreplace")


def write_page(path: str | Path, page: bytes) -> None:
    """Write a page, whole or not at all.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    from medenh.formats.files import atomic_output

    with atomic_output(path) as partial:
        partial.write_bytes(page)


@cache
def _environment() -> Environment:
    """Return the template engine; autoescape is on for every template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csp_hash"] = _csp_hash
    return environment


def _csp_hash(script: str) -> str:
    """Return the content security policy source that allows exactly this script."""
    digest = hashlib.sha256(str(script).encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
