"""``vlaeval certify`` and ``vlaeval verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.errors import EXIT_COMPLETE, EXIT_INCONCLUSIVE, EXIT_REFUTED

if TYPE_CHECKING:
    from vla_eval.stats import Verdict

__all__ = ["certify", "verify"]


def certify(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    candidate: Annotated[str, tyro.conf.arg(metavar="ARM")],
    reference: Annotated[str, tyro.conf.arg(metavar="ARM")],
    control: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    margin: float | None = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    json: bool = False,
) -> int:
    """Judge a complete run by its protocol: is the candidate as good as the reference?

    Example: vlaeval certify runs/parity --candidate student --reference teacher --control mse

    Writes the certificate, a report to read (report.html) and one for a pull request (report.md).
    Exit code 0 when the claim holds, 1 when it is refuted, 6 when these episodes cannot tell.

    Args:
        run: The run folder.
        candidate: The arm that has to prove itself.
        reference: The arm that it is measured by.
        control: An arm that must fail, to show that the run could have told a difference.
        margin: Another margin than the protocol's; flags the certificate as post hoc.
        out: Where the certificate goes; default RUN/certificate.json.
        json: Print the certificate itself.
    """
    from vla_eval.certificate import Roles, issue
    from vla_eval.certificate.text import certificate_text
    from vla_eval.report import write_reports
    from vla_eval.store import write_atomically

    certificate = issue(run, Roles(candidate, reference, control), margin=margin)
    text = certificate.model_dump_json(indent=2) + "\n"
    file = out or run / "certificate.json"
    write_atomically(file, text)
    print(text if json else certificate_text(certificate))
    print(f"certificate: {file}", file=sys.stderr)
    page, summary = write_reports(certificate, run, file)
    print(f"report: {page}, for a pull request: {summary}", file=sys.stderr)
    return _exit_code(certificate.verdict)


def _exit_code(verdict: Verdict) -> int:
    from vla_eval.stats import Judgement, Verdict

    if Judgement(verdict).noninferior:
        return EXIT_COMPLETE
    return EXIT_REFUTED if verdict is Verdict.INFERIOR else EXIT_INCONCLUSIVE


def verify(
    certificate: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CERTIFICATE")],
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
) -> int:
    """Recompute a certificate from the raw records of its run, trusting nothing in it.

    Example: vlaeval verify runs/parity/certificate.json runs/parity

    Exit code 0 when every number and word is reproduced, 1 when not.

    Args:
        certificate: The file that `vlaeval certify` wrote.
        run: The run folder.
    """
    from vla_eval.certificate import verify as recompute
    from vla_eval.certificate.verify import read_certificate

    differences = recompute(read_certificate(certificate), run)
    for difference in differences:
        print(difference)
    if differences:
        print(f"NOT VERIFIED: {len(differences)} places differ", file=sys.stderr)
        return EXIT_REFUTED
    print("verified: every number and word follows from the records")
    return EXIT_COMPLETE
