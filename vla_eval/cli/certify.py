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
    from vla_eval.certificate.certify import Certified
    from vla_eval.certificate.recipe.model import RecipeCertificate
    from vla_eval.stats import Verdict

__all__ = ["certify", "verify"]

_WORST_FIRST = (EXIT_REFUTED, EXIT_INCONCLUSIVE, EXIT_COMPLETE)


def certify(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    *,
    candidate: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    candidates: Annotated[str | None, tyro.conf.arg(metavar="A,B,C")] = None,
    reference: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    control: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    margin: float | None = None,
    registration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    since: Annotated[str | None, tyro.conf.arg(metavar="COMMIT")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    no_pictures: bool = False,
    json: bool = False,
) -> int:
    r"""Judge a complete run by its protocol: is the candidate as good as the reference?

    Example: vlaeval certify runs/parity --candidate student \
        --reference teacher --control mse

    Example: vlaeval certify runs/recipes

    Where the protocol names the arms of two recipes (analysis.recipe), the recipes are judged, over
    their training seeds; then leave out --candidate, --reference and --control.

    Writes the certificate, a report to read (report.html) and one for a pull request (report.md).
    Exit code 0 when the claim holds, 1 when it is refuted, 6 when these episodes cannot tell. Several
    candidates give one certificate each, certificate-NAME.json, and the code of the worst one.

    A local ledger (in the cache, and in the repository that the run lies in) counts how many
    candidates were certified on the protocol's states with the same reference; from the second on
    alpha is smaller.

    Args:
        runs: The run folder. Several: runs of the same arms on different states, judged together; valid
            even if the result of one decided whether the next was made.
        candidate: The arm to be certified; default for this and the next three: as the protocol says.
        candidates: Several arms, separated by commas, each against the reference; the chance of any
            false certificate among them stays at alpha (Holm).
        reference: The arm that the candidate is compared with.
        control: An arm that must fail, to show that the run can find a difference.
        margin: Replaces the protocol's margin; flags the certificate as post hoc.
        registration: The file that `vlaeval register` wrote before the first episode; it is copied
            into the run folder for verifiers. Default: that copy.
        since: A commit that must hold the registration, made before the first episode.
        out: File of the certificate; default: RUN/certificate.json, or RUN/certificate-of-N-runs.json in
            the first folder.
        no_pictures: Leave out the pictures of episodes in which the arms differ; they are drawn from the
            stored actions, which takes a second or two an episode.
        json: Print the certificate itself.
    """
    if not runs:
        raise UsageError(
            "which run? for example: vlaeval certify runs/parity --candidate student …"
        )
    if (candidate, candidates, reference, control) == (None,) * 4 and _is_about_recipes(runs[0]):
        return _certify_recipe(runs, margin, registration, since, out, json=json)
    from vla_eval.certificate.certify import certify as judge
    from vla_eval.certificate.certify import roles_asked
    from vla_eval.certificate.text import certificate_text

    run, *more = runs
    default = f"certificate-of-{len(runs)}-runs.json" if more else "certificate.json"
    several = tuple(candidates.split(",")) if candidates else ()
    asked = roles_asked(run, reference, control, candidate=candidate, candidates=several)
    shown, verdicts = [], []
    for roles in asked:
        done = judge(run, roles, margin=margin, registration=registration, since=since, more=more)
        for warning in done.warnings:
            say(f"warning: {warning}", file=sys.stderr)
        text = done.certificate.model_dump_json(indent=2) + "\n"
        file = out or run / default
        if roles.others:
            file = file.with_name(f"{file.stem}-{roles.candidate}{file.suffix}")
        _write(done, text, run, file, pictures=not no_pictures)
        shown.append(printable_json(text) if json else certificate_text(done.certificate))
        verdicts.append(_exit_code(done.certificate.verdict))
    say("[" + ",\n".join(shown) + "]" if json and len(shown) > 1 else "\n\n".join(shown))
    return next(code for code in _WORST_FIRST if code in verdicts)


def _write(done: Certified, text: str, run: Path, file: Path, *, pictures: bool) -> None:
    """Write a certificate and its reports."""
    from vla_eval.certificate.page import write_reports
    from vla_eval.files.atomic import write_atomically

    write_atomically(file, text)
    say(f"certificate: {file}", file=sys.stderr)
    evidence = done.evidence.alone()
    strips = None
    if pictures:
        from vla_eval.view.pictures import strips_of  # takes a while

        strips = strips_of(evidence, run)
        if strips.missing_because:
            say(f"the report has no pictures: {strips.missing_because}", file=sys.stderr)
    page, summary = write_reports(done.certificate, evidence, run, file, strips)
    say(f"report: {page}, for a pull request: {summary}", file=sys.stderr)


def _is_about_recipes(run: Path) -> bool:
    from vla_eval.runs.folder import RunFolder

    return RunFolder.open(run).header.protocol.analysis.recipe is not None


def _certify_recipe(
    runs: Sequence[Path],
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
    from vla_eval.files.atomic import write_atomically

    run, *more = runs
    if more:
        raise UsageError(
            "recipes are judged by one run, which holds all arms; give its folder alone"
        )
    done = certify_recipe(run, margin=margin, registration=registration, since=since)
    for warning in done.warnings:
        say(f"warning: {warning}", file=sys.stderr)
    text, file = done.certificate.model_dump_json(indent=2) + "\n", out or run / "certificate.json"
    write_atomically(file, text)
    say(printable_json(text) if json else recipe_text(done.certificate))
    say(f"certificate: {file}", file=sys.stderr)
    page, summary = write_recipe_reports(done.certificate, done.evidence, run, file)
    say(f"report: {page}, for a pull request: {summary}", file=sys.stderr)
    return _exit_code(done.certificate.verdict)


def _exit_code(verdict: Verdict) -> int:
    from vla_eval.stats import Judgement, Verdict

    if Judgement(verdict).noninferior:
        return EXIT_COMPLETE
    refuted = verdict in (Verdict.INFERIOR, Verdict.WITHHELD)
    return EXIT_REFUTED if refuted else EXIT_INCONCLUSIVE


def verify(
    certificate: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CERTIFICATE")],
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    *,
    replay: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    salt: Annotated[str, tyro.conf.arg(metavar="WORD")] = "",
    trust: bool = False,
) -> int:
    """Recompute a certificate from the raw records of its run, trusting nothing in it.

    Example: vlaeval verify runs/parity --replay 59

    Example: vlaeval verify received/certificate.json runs/parity

    Recomputing shows that the certificate follows from the records. Running episodes again shows
    that the records are real: if 5 % of the records are forged, --replay 59 finds one with a chance
    of 95 %. It runs the policies that the run names.

    Exit code 0 when every number and word, and every replayed episode, is reproduced, 1 when one
    is not, 3 when some episodes could not be run again.

    Args:
        certificate: The file that `vlaeval certify` wrote; or, alone, the run folder that holds it as
            certificate.json.
        runs: The run folder; all folders of a certificate over several runs.
        replay: Also run this many episodes again, chosen by the certificate's hash.
        salt: A secret word for the choice, if you do not trust the certificate's maker.
        trust: With --replay, run code that the folder names and no installed package provides; see
            docs/trust.md.
    """
    from vla_eval.certificate import verify as recompute
    from vla_eval.certificate.verify import read_any

    if not runs and certificate.is_dir():
        runs, certificate = (certificate,), certificate / "certificate.json"
    read = read_any(certificate)
    if not runs or (replay and len(runs) > 1):
        raise UsageError(
            "which run? for example: vlaeval verify runs/parity/certificate.json runs/parity"
            if not runs
            else "--replay draws from one run; verify each run's own certificate with it"
        )
    run, *more = runs
    differences = recompute(read, run, *more)
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
