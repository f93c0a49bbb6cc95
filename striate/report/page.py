"""The page of a report: its frame, its navigation, its order."""

from html import escape
from pathlib import Path

from striate.files import write_text
from striate.report import box_sections, sections
from striate.report.facts import ReportFacts
from striate.report.style import CSS
from striate.report.wording import counted, dataset_name, writable

# The page asks nobody for anything, and no script in it would run, whatever a file or class is called.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="striate">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<header>
<p class="kicker">Striate · {task} report</p>
<h1>{title}</h1>
<p class="lead">{lead}</p>
<dl class="headline">{headline}</dl>
</header>
<nav aria-label="Sections">{links}</nav>
<main>{body}</main>
</body>
</html>
"""


def write_report(path: Path, facts: ReportFacts) -> None:
    """Write the report of a run as one HTML file that needs nothing else.

    The file is complete or not there: it is written beside ``path`` and renamed.

    Args:
        path: the file to write, usually ``report.html`` of a run folder.
        facts: what was measured.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, writable(report_page(facts)))


def report_page(facts: ReportFacts) -> str:
    """The report of a run as the text of one HTML page; names that users chose are escaped throughout."""
    parts = [
        ("results", "Results", sections.results(facts) + box_sections.conventions(facts)),
        ("training", "Training", sections.training(facts)),
        ("classes", "Classes", sections.classes(facts) + box_sections.classes(facts)),
        ("errors", "What to mend first", box_sections.errors(facts)),
        ("pictures", "Worst and best pictures", box_sections.pictures(facts)),
        ("calibration", "Calibration", sections.calibration(facts)),
        ("mistakes", "Most confident mistakes", sections.mistakes(facts)),
        ("sizes", "Sizes of boxes", box_sections.sizes(facts)),
        ("data", "Data", sections.data(facts)),
        ("settings", "Settings", sections.settings(facts)),
    ]
    parts = [part for part in parts if part[2]]
    return PAGE.format(
        policy=POLICY,
        css=CSS,
        title=escape(facts.title),
        task=escape(facts.task),
        lead=_lead(facts),
        headline=sections.headline(facts),
        links="".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in parts),
        body="".join(
            f'<section id="{name}"><h2>{heading}</h2>{html}</section>' for name, heading, html in parts
        ),
    )


def _lead(facts: ReportFacts) -> str:
    source = dataset_name(facts.data)
    trained = f", trained on <b>{escape(source)}</b>" if source else ""
    epochs = f" for {counted(len(facts.history), 'epoch')}" if facts.history else ""
    return (
        f"<b>{escape(facts.model)}</b>, {counted(facts.params, 'parameter')}, "
        f"{counted(len(facts.classes), 'class')}{trained}{epochs}."
    )
