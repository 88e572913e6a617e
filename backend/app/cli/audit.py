"""The audit trail."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import AsJson, progress, say, show_record
from app.cli.running import operate, refusals

if TYPE_CHECKING:
    from app.auth.audit.types import AuditReport, Link
    from app.auth.audit.verification import AuditVerifier
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="The audit trail.")


@commands.command()
def verify(
    *,
    after: Annotated[
        str | None, typer.Option(metavar="SEQUENCE:MAC", help="Begin behind this link, which must still be there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Exit with 1 where an event was changed, removed or put in. Servers may go on writing meanwhile."""
    with refusals():
        link = _parse(after)
        report = operate(lambda services: _verify(services, link), starts=False)
        _show(report, as_json=as_json)
        raise typer.Exit(0 if report.is_intact else 1)


@commands.command()
def head(*, as_json: AsJson = False) -> None:
    """Print the last link, to be kept elsewhere: `verify --after` looks that it is still there."""
    with refusals():
        link = operate(_head, starts=False)
        say("Nothing was recorded yet." if link is None else str(link), {"link": link and str(link)}, as_json=as_json)


def _parse(after: str | None) -> "Link":
    from app.auth.audit.types import BEFORE_FIRST, Link  # noqa: PLC0415

    try:
        return BEFORE_FIRST if after is None else Link.parse(after)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--after") from None


async def _head(services: "Services") -> "Link | None":
    return await _verifier(services).head()


def _verifier(services: "Services") -> "AuditVerifier":
    from app.auth.audit.verification import AuditVerifier  # noqa: PLC0415

    return AuditVerifier(services.database, services.auth.audit_chain, services.clock)


async def _verify(services: "Services", after: "Link") -> "AuditReport":
    verifier = _verifier(services)
    reached = after.sequence
    with progress("Verifying", await verifier.length() - reached) as advance:

        def tell(link: "Link") -> None:
            nonlocal reached
            advance(link.sequence - reached)
            reached = link.sequence

        return await verifier.verify(after, tell)


def _show(report: "AuditReport", *, as_json: bool) -> None:
    from app.auth.audit.types import MEANINGS  # noqa: PLC0415

    first = next(iter(report.faults), None)
    record = {
        "intact": report.is_intact,
        "events": report.events,
        "before_chain": report.before_chain,
        "end": None if report.end is None else str(report.end),
        "fault_count": report.fault_count,
        "first_broken": None if first is None else first.sequence,
    }
    if as_json:
        faults = [
            {"kind": fault.kind.value, "sequence": fault.sequence, "last": fault.last, "meaning": MEANINGS[fault.kind]}
            for fault in report.faults
        ]
        show_record({**record, "faults": faults}, as_json=True)
        return
    show_record(record, as_json=False)
    for fault in report.faults:
        where = "-" if fault.sequence is None else str(fault.sequence)
        until = "" if fault.last in {None, fault.sequence} else f"-{fault.last}"
        typer.echo(f"{where}{until}: {MEANINGS[fault.kind]}", err=True)
