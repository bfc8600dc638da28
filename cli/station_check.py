"""The result of ``patrol-lpr station check``, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.show import TextTable, print_table
from cli.terminal import PlainConsole
from cli.verify import findings_table
from cli.verify_log import findings_table as log_findings

if TYPE_CHECKING:
    from station.query import CheckReport


def print_check(report: CheckReport) -> None:
    """Print the findings of the series, then what was altered beside the signed bytes."""
    out = PlainConsole()
    print_table(findings_table(report.units), out)
    if report.faults:
        table = TextTable("unit", "id", "altered")
        for fault in report.faults:
            table.add_row(fault.unit, fault.record_id.hex(), fault.what)
        print_table(table, out)
    print_table(log_findings(report.log), out)
    for found in report.log.faults:
        out.print(found, style="red")
    for unit in report.silent:
        out.print(f"{unit}: has a key and no record: removed; or new, then name it with --new")
    out.print("complete and unaltered" if report.is_right else "NOT as the units signed it")
