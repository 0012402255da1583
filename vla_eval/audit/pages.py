"""An audit for people: a Markdown page with a picture, and one HTML file that works offline."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from vla_eval.audit.figure import WIDTHS, draw
from vla_eval.audit.results import AtMargin, Audit, Audited, ClaimFinding
from vla_eval.audit.schema import Rate, RatesClaim, Source
from vla_eval.audit.words import two_decimals
from vla_eval.audit.words import verdict as verdict_text
from vla_eval.drawing import words
from vla_eval.stats import Flag

__all__ = ["FINDINGS", "flag_sentence", "html_page", "markdown_page", "verdict_lines"]

FINDINGS = {
    ClaimFinding.SUPPORTED: "the counts support the claim",
    ClaimFinding.UNRESOLVED: "the counts support neither the claim nor its opposite",
    ClaimFinding.CONTRADICTED: "the counts contradict the claim",
    ClaimFinding.CONSISTENT: "printed numbers agree with each other",
    ClaimFinding.INCONSISTENT: "printed numbers do not agree with each other",
    ClaimFinding.IMPLAUSIBLE: "it needs a value that no other source has measured",
    ClaimFinding.IMPOSSIBLE: "it is impossible with any method",
    ClaimFinding.DESCRIBED: "nothing is claimed; an interval is added",
    ClaimFinding.NOT_AUDITABLE: "counts cannot judge it",
}

_JUDGED = """\
Every verdict is **post-hoc**: the margins are ours, chosen after the numbers were known, and published
tables do not say which episodes were shared. So two rates are compared as **unpaired** counts
(Miettinen and Nurminen's score interval); where both arms may have run the same episodes, the page
says what the best and the worst possible pairing would have shown (Tango's interval, and the exact
test at the margin). Parity holds when the candidate is not worse by {margin} (one-sided alpha
{alpha:g}, the lower end of the {level:g} % interval). *Better* and *worse* are differences picked
after the fact, and hold when the two-sided 95 % interval leaves 0 out. Percentages are turned into counts where the printed digits allow exactly one
(GRIM); otherwise they are means of partial credit or rounded, and are used as printed. Claims about
training recipes use Student's t over checkpoints. Speed-ups are held against T(N) = p + e N: prefix p,
N evaluations of e milliseconds."""


def flag_sentence(flag: Flag) -> str:
    """Return the meaning of a flag on this page."""
    if flag is Flag.CLUSTERED:
        return (
            "Counts pool several evaluation seeds of the same initial states; the interval is too "
            "narrow."
        )
    return flag.sentence


def markdown_page(audit: Audit, *, picture: str | None = None, command: str) -> str:
    """Return the audit as a Markdown page: a summary table, a picture, then claim by claim.

    Args:
        audit: the judged claims.
        picture: path of the picture, relative to the page.
        command: the command that writes the page; the page shows it.
    """
    lines = [
        f"<!-- Written by: {command} -->",
        f"# {audit.file.title}",
        "",
        _found(audit),
        "",
        "| claim | what is claimed | counts | difference, 90 % | finding |",
        "|---|---|---|---|---|",
        *(_summary_row(audited) for audited in audit.claims),
        "",
    ]
    if picture is not None:
        lines += [f"![Every difference with its intervals, against the margins]({picture})", ""]
        lines += [f"*{_caption(audit)}*", ""]
    lines += ["## How it was judged", "", _judged(audit), ""]
    lines += [f"- **{finding}**: {text}" for finding, text in FINDINGS.items()]
    lines.append("")
    for name, claims in audit.by_source().items():
        source = audit.file.sources[name]
        lines += [f"## {_cell(source.title)}", "", _origin(source), ""]
        for audited in claims:
            lines += [*_section(audited), ""]
    return "\n".join(lines).rstrip() + "\n"


def _found(audit: Audit) -> str:
    counts = ", ".join(f"{count} {finding}" for finding, count in audit.counts().items())
    return f"{len(audit.claims)} published claims, judged from their own counts: {counts}."


def _caption(audit: Audit) -> str:
    margins = " and ".join(f"±{100 * margin:g}" for margin in audit.file.margins)
    return (
        "Thick: 90 %; thin: 95 %. Circles are supported claims, diamonds unresolved ones, crosses "
        f"contradicted ones, grey squares neither. Margins at {margins} points; the shaded side is "
        "worse by more than the first."
    )


def _judged(audit: Audit) -> str:
    alpha = audit.file.alpha
    margin = words.margin(audit.file.margins[0])
    return _JUDGED.format(margin=margin, alpha=alpha, level=100 * (1 - 2 * alpha))


def _summary_row(audited: Audited) -> str:
    comparison, claim = audited.comparison, audited.claim
    difference = "–"
    if comparison is not None:
        difference = f"{words.points(comparison.difference)} {words.interval(comparison.ci90)}"
    flags = "".join(f"<br><sub>{flag}</sub>" for flag in audited.flags)
    return (
        f"| [{claim.id}](#{claim.id.lower()}) | {_cell(claim.says)} | {counts(audited)} | "
        f"{difference} | **{audited.finding}**{flags} |"
    )


def counts(audited: Audited) -> str:
    """Return ``395/400 v 391/400``, or percentages if the digits do not determine the counts."""
    if not isinstance(audited.claim, RatesClaim):
        return "–"
    return f"{_rate(audited.claim.candidate)} v {_rate(audited.claim.reference)}"


def _rate(rate: Rate) -> str:
    if len(rate.counts) == 1:
        return f"{words.count(rate.count)}/{rate.n:,}"
    return f"{rate.percent} % of {rate.n:,}"


def _origin(source: Source) -> str:
    links = []
    if source.arxiv:
        links.append(f"[arXiv {source.arxiv}](https://arxiv.org/abs/{source.arxiv})")
    if source.url:
        links.append(f"<{source.url}>")
    note = f" {source.note[0].upper()}{source.note[1:]}." if source.note else ""
    return f"{', '.join(links)}.{note}"


def _section(audited: Audited) -> Iterator[str]:
    claim = audited.claim
    yield f'<a id="{claim.id.lower()}"></a>**{claim.id}** · {_cell(claim.says)} *({claim.where})*'
    yield ""
    yield f"> **{audited.finding.value.capitalize()}.** {_cell(audited.sentence)}"
    rest = [f"- {_cell(line)}" for line in (*verdict_lines(audited), *audited.details)]
    rest += [f"- **{flag}**: {flag_sentence(flag)}" for flag in audited.flags]
    if claim.note:
        rest.append(f"- Note: {_cell(claim.note)}")
    if rest:
        yield ""
        yield from rest


def verdict_lines(audited: Audited) -> list[str]:
    """Return arms and counts, and for claims of parity the verdict at every margin."""
    comparison, claim = audited.comparison, audited.claim
    if comparison is None:
        return []
    lines = []
    if isinstance(claim, RatesClaim):
        rates = " against ".join(
            f"{rate.name}: {_rate(rate)}"
            + (f" = {two_decimals(rate.rate)}" if len(rate.counts) == 1 else "")
            for rate in (claim.candidate, claim.reference)
        )
        lines.append(f"{rates}; 95 % {words.interval(comparison.ci95)}.")
    if getattr(claim, "asserts", None) not in ("parity", "nothing"):
        return lines
    verdicts = "; ".join(_at_margin(at) for at in comparison.at)
    return [*lines, f"One-sided: {verdicts}."]


def _at_margin(at: AtMargin) -> str:
    exact = ""
    if at.p_exact is not None:
        best, worst = (f"p {words.p_value(p)}" for p in at.p_exact)
        exact = f"; paired at best {best}, at worst {worst}"
    verdict, margin = verdict_text(at.judgement), words.margin(at.margin)
    return f"{verdict} at {margin} (not worse: p {words.p_value(at.p_noninferior)}{exact})"


def _cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return (
        html.escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
    )


def html_page(audit: Audit, *, command: str) -> str:
    """Return the audit as one HTML file; equal audits give equal bytes."""
    from markupsafe import Markup

    from vla_eval.drawing.templating import render

    figure = Markup("".join(draw(audit, width) for width in WIDTHS))  # noqa: S704 - ours, escaped
    groups = [(audit.file.sources[name], claims) for name, claims in audit.by_source().items()]
    return render(
        "audit.html.j2",
        Path(__file__).parent / "templates",
        audit=audit,
        figure=figure,
        found=_found(audit),
        caption=_caption(audit),
        judged=_judged(audit).replace("**", "").replace("*", ""),
        groups=groups,
        findings=FINDINGS,
        counts=counts,
        lines=verdict_lines,
        flag_sentence=flag_sentence,
        words=words,
        command=command,
    )
