"""``vlaeval certify`` and ``vlaeval verify``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import say, say_folded
from vla_eval.errors import EXIT_COMPLETE, EXIT_INCONCLUSIVE, EXIT_REFUTED, UsageError
from vla_eval.files.plain import printable_json

if TYPE_CHECKING:
    from vla_eval.certificate import Certificate
    from vla_eval.certificate.recipe import RecipeCertificate
    from vla_eval.stats import Verdict

__all__ = ["certify", "verify"]


def certify(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    candidate: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    reference: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    control: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    margin: float | None = None,
    registration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    since: Annotated[str | None, tyro.conf.arg(metavar="COMMIT")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    json: bool = False,
) -> int:
    r"""Judge a complete run by its protocol: is the candidate as good as the reference?

    Example: vlaeval certify runs/parity --candidate student \
        --reference teacher --control mse

    Example: vlaeval certify runs/recipes

    Where the protocol names the arms of two recipes (analysis.recipe), the recipes are judged, over
    their training seeds; then leave out --candidate, --reference and --control.

    Writes the certificate, a report to read (report.html) and one for a pull request (report.md).
    Exit code 0 when the claim holds, 1 when it is refuted, 6 when these episodes cannot tell.

    A local ledger (in the cache, and in the repository that the run lies in) counts how many
    candidates were certified on the protocol's states with the same reference; from the second on
    alpha is smaller.

    Args:
        run: The run folder.
        candidate: The arm to be certified; default the protocol's.
        reference: The arm that the candidate is compared with; default the protocol's.
        control: An arm that must fail, to show that the run can find a difference.
        margin: Replaces the protocol's margin; flags the certificate as post hoc.
        registration: The file that `vlaeval register` wrote before the first episode; it is copied
            into the run folder for verifiers. Default: that copy.
        since: A commit that must hold the registration, made before the first episode.
        out: File of the certificate; default: RUN/certificate.json
        json: Print the certificate itself.
    """
    from vla_eval.runs.folder import RunFolder

    analysis = RunFolder.open(run).header.protocol.analysis
    given = candidate, reference, control
    if analysis.recipe is not None and given == (None, None, None):
        return _certify_recipe(run, margin, registration, since, out, json=json)
    candidate, reference = candidate or analysis.candidate, reference or analysis.reference
    if analysis.recipe is None and (candidate is None or reference is None):
        missing = "candidate" if candidate is None else "reference"
        raise UsageError(f"which arm is the {missing}? say so with --{missing} ARM")
    from vla_eval.certificate import Roles
    from vla_eval.certificate.certify import certify as judge
    from vla_eval.certificate.page import write_reports
    from vla_eval.certificate.text import certificate_text

    done = judge(
        run,
        Roles(candidate or "", reference or "", control),
        margin=margin,
        registration=registration,
        since=since,
    )
    file = out or run / "certificate.json"
    _write(done.certificate, done.warnings, certificate_text(done.certificate), file, json=json)
    page, summary = write_reports(done.certificate, done.evidence, run, file)
    say(f"report: {page}, for a pull request: {summary}", file=sys.stderr)
    return _exit_code(done.certificate.verdict)


def _certify_recipe(
    run: Path,
    margin: float | None,
    registration: Path | None,
    since: str | None,
    out: Path | None,
    *,
    json: bool,
) -> int:
    from vla_eval.certificate.certify import certify_recipe
    from vla_eval.certificate.recipe.page import write_recipe_reports
    from vla_eval.certificate.recipe.text import recipe_text

    done = certify_recipe(run, margin=margin, registration=registration, since=since)
    file = out or run / "certificate.json"
    _write(done.certificate, done.warnings, recipe_text(done.certificate), file, json=json)
    page, summary = write_recipe_reports(done.certificate, done.evidence, run, file)
    say(f"report: {page}, for a pull request: {summary}", file=sys.stderr)
    return _exit_code(done.certificate.verdict)


def _write(
    certificate: Certificate | RecipeCertificate,
    warnings: Sequence[str],
    words: str,
    file: Path,
    *,
    json: bool,
) -> None:
    from vla_eval.files.atomic import write_atomically

    for warning in warnings:
        say(f"warning: {warning}", file=sys.stderr)
    text = certificate.model_dump_json(indent=2) + "\n"
    write_atomically(file, text)
    say(printable_json(text) if json else words)
    say(f"certificate: {file}", file=sys.stderr)


def _exit_code(verdict: Verdict) -> int:
    from vla_eval.stats import Judgement, Verdict

    if Judgement(verdict).noninferior:
        return EXIT_COMPLETE
    return EXIT_REFUTED if verdict is Verdict.INFERIOR else EXIT_INCONCLUSIVE


def verify(
    certificate: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CERTIFICATE")],
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    replay: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    salt: Annotated[str, tyro.conf.arg(metavar="WORD")] = "",
    trust: bool = False,
) -> int:
    """Recompute a certificate from the raw records of its run, trusting nothing in it.

    Example: vlaeval verify runs/parity/certificate.json runs/parity --replay 59

    Recomputing shows that the certificate follows from the records. Running episodes again shows
    that the records are real: if 5 % of the records are forged, --replay 59 finds one with a chance
    of 95 %. It runs the policies that the run names.

    Exit code 0 when every number and word, and every replayed episode, is reproduced, 1 when one
    is not, 3 when some episodes could not be run again.

    Args:
        certificate: The file that `vlaeval certify` wrote.
        run: The run folder.
        replay: Also run this many episodes again, chosen by the certificate's hash.
        salt: A secret word for the choice, if you do not trust the certificate's maker.
        trust: With --replay, run code that the folder names and no installed package provides; see
            docs/trust.md.
    """
    from vla_eval.certificate import verify as recompute
    from vla_eval.certificate.verify import read_any

    read = read_any(certificate)
    differences = recompute(read, run)
    for difference in differences:
        say(difference)
    if differences:
        say(f"NOT VERIFIED: {len(differences)} places differ", file=sys.stderr)
        return EXIT_REFUTED
    say("verified: every number and word follows from the records")
    if not replay:
        return EXIT_COMPLETE
    return _replayed(certificate, read, run, replay, salt, trust=trust)


def _replayed(
    file: Path,
    certificate: Certificate | RecipeCertificate,
    run: Path,
    count: int,
    salt: str,
    *,
    trust: bool,
) -> int:
    """Run some episodes again; return the exit code of the result."""
    from tqdm import tqdm

    from vla_eval.certificate.replayed import replay_sample, sentence
    from vla_eval.certificate.verify import draw_sample
    from vla_eval.runs.folder import RunFolder

    sample = draw_sample(file, run, count, salt=salt)
    names = [arm.name for arm in certificate.arms]
    for arm in RunFolder.open(run).header.arms:
        if arm.name in names:
            say(f"about to run policy '{arm.name}': {arm.spec}", file=sys.stderr)
    with tqdm(total=len(sample.chosen), unit=" episodes", disable=None) as bar:
        report = replay_sample(run, sample, progress=lambda _: bar.update(), trust=trust)
    say_folded([sentence(report)])
    return report.exit_code
