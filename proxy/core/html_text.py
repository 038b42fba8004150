"""Plain text out of fields that hold HTML: what a reader of the page would read.

One pass with regular expressions that never look past the next ``<``, so that the time is linear in the text whatever
it holds: texts come from anybody, and are read in the event loop. Which elements there are follows the HTML standard
(https://html.spec.whatwg.org/multipage/indices.html, section "Elements") and HTML 4 for those that are gone.
"""

from __future__ import annotations

import html
import re

_REFERENCE = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_TAG = r"""</?(?P<{0}>[A-Za-z][^\s/<>"'&=]*){1}>"""
_MARKUP = re.compile(
    r"<!--|<!\[CDATA\[|\]\]>|<[!?][A-Za-z][^<>]*>|"
    # With a ">" within a quoted value; else up to the first one.
    + _TAG.format("quoted", r"""(?:(?=[\s/])(?>[^<>"']|"[^"<]*"|'[^'<]*')*+)?""")
    + "|"
    + _TAG.format("plain", r"(?:(?=[\s/])[^<>]*)?")
)
_CLOSED = re.compile(r"""</([A-Za-z][^\s/<>"'&=]*)\s*>""")

_UNREAD = frozenset({"head", "iframe", "noscript", "script", "style", "svg", "template"})
_ENDS = {name: re.compile(rf"</{name}[^<>]*>", re.IGNORECASE) for name in _UNREAD}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INLINE = _words(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark math nobr q rp rt ruby s "
    "samp small span strike strong sub sup time tt u var wbr"
)
"""Elements in the middle of words; all others part what stands before them from what stands behind."""
_ELEMENTS = (
    _INLINE
    | _UNREAD
    | _words(
        "address applet area article aside audio base basefont blockquote body br button canvas caption center col "
        "colgroup datalist dd details dialog dir div dl dt embed fieldset figcaption figure footer form frame "
        "frameset h1 h2 h3 h4 h5 h6 header hgroup hr html img input legend li link main map menu meta meter nav "
        "noframes object ol optgroup option output p param picture pre progress search section select slot source "
        "summary table tbody td textarea tfoot th thead title tr track ul video"
    )
)


def strip_html(text: str, enough: int | None = None) -> str:
    """Return a text's words less its markup; what is no markup stays as it is, ``List<String>`` say.

    Comments go, and what browsers do not show (scripts, styles, a page's head); character references are what they
    stand for. Never raises.

    Args:
        text: any text, cut anywhere.
        enough: stop where so many characters are read.
    """
    if "<" not in text and "&" not in text:
        return text
    closed: frozenset[str] | None = None
    pieces: list[str] = []
    length = start = at = 0
    while enough is None or length < enough:
        found = _MARKUP.search(text, at)
        if found is not None and (name := _name(found)) and name not in _ELEMENTS:
            if closed is None:
                closed = frozenset(one.lower() for one in _CLOSED.findall(text))
            if name not in closed:
                at = found.end()
                continue
        piece = _decoded(text[start:] if found is None else text[start : found.start()])
        pieces.append(piece)
        length += len(piece)
        if found is None:
            break
        if _name(found) not in _INLINE:
            pieces.append(" ")
        start = at = _end(found, text)
    return "".join(pieces)


def _name(found: re.Match[str]) -> str:
    return (found["quoted"] or found["plain"] or "").lower()


def _end(found: re.Match[str], text: str) -> int:
    """Return where the text goes on behind a piece of markup; a comment or script without an end has no text behind."""
    if found[0] == "<!--":
        end = text.find("-->", found.end())
        return len(text) if end < 0 else end + 3
    name = _name(found)
    if name in _UNREAD and not found[0].startswith("</") and not found[0].endswith("/>"):
        closing = _ENDS[name].search(text, found.end())
        return len(text) if closing is None else closing.end()
    return found.end()


def _decoded(text: str) -> str:
    return _REFERENCE.sub(lambda found: html.unescape(found[0]), text) if "&" in text else text
