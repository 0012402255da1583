"""A reader of HTML that finds what is not nested, not unique, or reaches out of the file."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Checks nesting, and collects what could reach out of the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.references: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        found = dict(attrs)
        self.ids.update([found["id"]] if "id" in found else [])
        names = ("src", "href", "xlink:href", "action", "data", "srcset")
        self.references += [found[name] for name in names if name in found]
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text: str) -> Page:
    page = Page(text)
    assert page.tags["script"] == 1
    assert all(reference.startswith("#") for reference in page.references)
    assert {name for name, count in page.ids.items() if count > 1} == set()
    assert {each[1:] for each in page.references} <= set(page.ids)
    assert "url(http" not in text
    assert "@import" not in text
    return page
