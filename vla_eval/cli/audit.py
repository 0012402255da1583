"""``vlaeval audit``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import print_json, print_table, say_folded
from vla_eval.errors import EXIT_COMPLETE, UsageError, did_you_mean

if TYPE_CHECKING:
    from vla_eval.audit import Audit, Audited

__all__ = ["audit"]

OptionalFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


def audit(
    claims: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[CLAIMS.toml]")
    ] = (),
    *,
    claim: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="ID")] = (),
    html: OptionalFile = None,
    markdown: OptionalFile = None,
    picture: OptionalFile = None,
    json: bool = False,
) -> int:
    """Judge published numbers by their own counts: are they possible, and what do they show?

    Example: vlaeval audit

    Example: vlaeval audit mine.toml --html audit.html

    Without a file it judges the claims that come with this package. It checks whether percentages
    can be counts (GRIM) and whether speed-ups agree with T(N) = p + e N. It gives intervals and
    verdicts at the margins, the results of the best and the worst pairing of the episodes, the kind
    of a printed plus-minus, and the number of episodes that the claim needs. It is post-hoc and
    certifies nothing. The exit code is 0 for every finding.

    Args:
        claims: A file of claims; the shipped one is vla_eval/audit/published.toml.
        claim: Show this claim in full; can be given several times.
        html: Write one HTML file that works offline.
        markdown: Write a Markdown page.
        picture: Write the intervals as an SVG file, which the Markdown page then shows.
        json: Print for machines.
    """
    from vla_eval.audit import audit as judge
    from vla_eval.audit import read_claims, shipped_claims
    from vla_eval.audit.files import write_pages

    if len(claims) > 1:
        raise UsageError("one file of claims at a time, for example: vlaeval audit claims.toml")
    file = read_claims(claims[0]) if claims else shipped_claims()
    known = [entry.id for entry in file.claims]
    for name in claim:
        if name not in known:
            raise UsageError(f"--claim {name}: there is no such claim{did_you_mean(name, known)}")
    result = judge(file)
    command = _command(claims, html=html, markdown=markdown, picture=picture)
    write_pages(result, command=command, html=html, markdown=markdown, picture=picture)
    if json:
        from vla_eval.audit.export import to_json

        print_json(to_json(result))
    elif claim:
        _print_full([audited for audited in result.claims if audited.claim.id in claim])
    else:
        _print(result)
    return EXIT_COMPLETE


def _command(claims: tuple[Path, ...], **files: Path | None) -> str:
    words = ["vlaeval", "audit", *map(str, claims)]
    for name, path in files.items():
        if path is not None:
            words += [f"--{name}", str(path)]
    return shlex.join(words)


def _print(result: Audit) -> None:
    rows = [
        [audited.claim.id, audited.finding.value, audited.sentence] for audited in result.claims
    ]
    print_table([["claim", "finding", ""], *rows])
    counts = ", ".join(f"{count} {finding}" for finding, count in result.counts().items())
    closing = [
        "",
        f"{len(rows)} claims: {counts}.",
        "Post-hoc, from unpaired counts; see one in full with --claim ID.",
    ]
    say_folded(closing)


def _print_full(shown: list[Audited]) -> None:
    from vla_eval.audit.pages import flag_sentence, verdict_lines

    for audited in shown:
        lines = [
            f"{audited.claim.id}: {audited.claim.says} ({audited.claim.where})",
            f"{audited.finding.value.upper()}: {audited.sentence}",
            *(f"- {line}" for line in (*verdict_lines(audited), *audited.details)),
            *(f"! {flag.upper()}: {flag_sentence(flag)}" for flag in audited.flags),
        ]
        if audited.claim.note:
            lines.append(f"- {audited.claim.note}")
        say_folded([*lines, ""])
