"""The page of an audit: every kind of finding with its pictures, copies side by side."""

import re
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from striate.audit.drawing import draw_marks
from striate.audit.findings import Audit, Finding, Mark
from striate.audit.kinds import KINDS
from striate.errors import InputError
from striate.files import UnwrittenError, write_text
from striate.report.page import PAGE, POLICY
from striate.report.pictures import drawing_uri, is_tiny, picture_uri
from striate.report.style import CSS
from striate.report.tables import long_table, row
from striate.report.wording import counted, split_name, writable

SHOWN = 24  # findings of a kind with their pictures
LISTED = 1000  # further findings of a kind by name
PICTURES = 6  # of a group
IN_WORDS = {  # nothing to be seen
    *("refused", "unreadable", "truncated", "left-out", "imbalance", "few"),
    *("absent-class", "rare-class", "few-objects"),
}

GROUPS = """
.groups {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr));
  gap: 2rem 2.4rem; list-style: none; padding: 0; margin: 1.5rem 0;
}
.groups.single { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1.6rem 1.4rem; }
.groups.marked { grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)); }
.groups.marked img { aspect-ratio: auto; }
.groups p { margin: 0; font-size: 0.85rem; line-height: 1.4; overflow-wrap: anywhere; }
.groups .note { font-size: 0.75rem; }
.shots { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.9rem 0.8rem; }
.groups figure { margin: 0 0 0.4rem; }
.groups figcaption { padding-top: 0.35rem; font-size: 0.75rem; overflow-wrap: anywhere; }
.groups figcaption::before { content: none; }
.groups img, .unseen {
  display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--wash);
  outline: 1px solid var(--line); outline-offset: -1px;
}
.unseen { display: grid; place-items: center; color: var(--soft); font-size: 0.8rem; }
.error { color: var(--orange); font-weight: 600; }
.kinds td.word { width: 55%; }
.kinds th[scope="row"] { overflow-wrap: normal; }
.advice code { white-space: nowrap; font-size: 0.9em; }
.counts { max-width: 44rem; }
@media (max-width: 40rem) {
  .groups.single { grid-template-columns: 1fr 1fr; }
  .kinds td.word { width: auto; }
  .faults th[scope="row"] { width: 50%; }
}
@media (max-width: 28rem) { .kinds :is(th, td):nth-child(2) { display: none; } }
"""


def write_page(path: Path, audit: Audit) -> None:
    """Write an audit as one HTML file that needs nothing else.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        write_text(path, writable(audit_page(audit)))
    except UnwrittenError as error:
        mend = "free some space, or choose another place for --html"
        raise UnwrittenError(error.what, error.where, mend) from error


def audit_page(audit: Audit) -> str:
    """An audit as the text of one HTML page; names that users chose are escaped throughout."""
    found = audit.by_kind()
    parts = [("overview", "Overview", _overview(audit, found))]
    parts += [(kind, _heading(kind), _section(audit, kind, findings)) for kind, findings in found.items()]
    if audit.inventory.classes:
        parts.append(("classes", f"{audit.counted.capitalize()} of each class", _classes(audit)))
    return PAGE.format(
        policy=POLICY,
        css=CSS + GROUPS,
        title=f"Audit of {escape(audit.inventory.name)}",
        task="data",
        lead=_lead(audit),
        headline=_headline(audit),
        links="".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in parts),
        body="".join(
            f'<section id="{name}"><h2>{heading}</h2>{html}</section>' for name, heading, html in parts
        ),
    )


def _heading(kind: str) -> str:
    return kind.replace("-", " ").capitalize()


def _lead(audit: Audit) -> str:
    listed = audit.inventory
    objects = f" with {counted(len(listed.objects.labels), 'object')}" if listed.objects else ""
    return (
        f"<b>{counted(len(listed.entries), 'picture')}</b>{objects} of "
        f"{counted(len(listed.classes), 'class')} in "
        f"<b>{escape(listed.source)}</b> ({escape(listed.format)})."
    )


def _headline(audit: Audit) -> str:
    severities = [KINDS[finding.kind].severity for finding in audit.findings]
    numbers = {"Pictures looked at": len(audit.entries), "Findings": len(audit.findings)}
    numbers |= {f"{name.capitalize()}s": severities.count(name) for name in ("error", "warning", "notice")}
    return "".join(f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, count in numbers.items())


def _overview(audit: Audit, found: dict[str, list[Finding]]) -> str:
    notes = "".join(f"<p>{escape(note)}.</p>" for note in audit.notes)
    if not found:
        return f"<p>No faults were found.</p>{notes}"
    rows = []
    for kind, findings in found.items():
        facts = KINDS[kind]
        pictures = len({i for finding in findings for i in finding.entries})
        rows.append(
            f'<tr><th scope="row"><a href="#{kind}">{_heading(kind)}</a></th>'
            f'<td class="word">{escape(facts.title)}</td><td class="{facts.severity}">{facts.severity}</td>'
            f"<td>{len(findings):,}</td><td>{pictures:,}</td></tr>"
        )
    head = ("Kind", "What it is", "Severity", "Findings", "Pictures")
    return long_table(head, rows, "What was found, the gravest first.", "kinds pairs") + notes


def _section(audit: Audit, kind: str, findings: list[Finding]) -> str:
    facts = KINDS[kind]
    single = " single" if all(len(finding.entries) == 1 for finding in findings) else ""
    if any(finding.marks for finding in findings):
        single = " marked"
    pictured = 0 if kind in IN_WORDS else SHOWN
    groups = "".join(_group(audit, finding) for finding in findings[:pictured])
    rest = [
        f'<tr><th scope="row">{escape(_names(audit, finding))}</th>'
        f'<td class="word">{escape(finding.detail)}</td></tr>'
        for finding in findings[pictured : pictured + LISTED]
    ]
    caption = "The other findings of this kind." if pictured else "All findings of this kind."
    table = long_table(("Where", "What"), rest, caption, "faults") if rest else ""
    more = len(findings) - pictured - LISTED
    beyond = f"<p>{counted(more, 'finding')} more: see --json.</p>" if more > 0 else ""
    return (
        f"<p>{counted(len(findings), 'finding')}: {escape(facts.title)}. "
        f'<b class="advice">{_with_code(facts.advice[:1].upper() + facts.advice[1:])}.</b></p>'
        + (f'<ol class="groups{single}">{groups}</ol>' if groups else "")
        + table
        + beyond
    )


def _with_code(advice: str) -> str:
    """Advice as HTML, with each flag and its value in one piece."""
    return re.sub(r"--\S+ \S+", r"<code>\g<0></code>", escape(advice))


def _names(audit: Audit, finding: Finding) -> str:
    return " = ".join(audit.entries[i].name for i in finding.entries) or ", ".join(finding.classes)


def _group(audit: Audit, finding: Finding) -> str:
    shots = "".join(_shot(audit, number, finding.marks) for number in finding.entries[:PICTURES])
    more = len(finding.entries) - PICTURES
    beyond = f' <span class="note">and {counted(more, "more picture")}</span>' if more > 0 else ""
    return f'<li><div class="shots">{shots}</div><p>{escape(finding.detail)}{beyond}</p></li>'


def _shot(audit: Audit, number: int, marks: tuple[Mark, ...]) -> str:
    """An entry's picture, or what surrounds the boxes that the finding is about."""
    entry = audit.entries[number]
    place = ", ".join(filter(None, (split_name(entry.split) if entry.split != "all" else "", entry.label)))
    try:
        image = audit.read(number)
        pixelated = ' class="tiny"' if is_tiny(image) and not marks else ""
        source = _drawn(audit, number, image, marks) if marks else picture_uri(image)
        picture = f'<img{pixelated} loading="lazy" src="{source}" alt="{escape(entry.name)}">'
    except InputError:
        picture = '<div class="unseen">cannot be read</div>'
    return (
        f"<figure>{picture}<figcaption><b>{escape(place)}</b> "
        f'<span class="note">{escape(entry.name)}</span></figcaption></figure>'
    )


def _drawn(audit: Audit, number: int, image: Tensor, marks: tuple[Mark, ...]) -> str:
    """The place that a finding is about, in the picture of one of its entries."""
    objects = audit.inventory.objects
    assert objects is not None
    one, own = objects[number], [mark for mark in marks if mark.entry == number]
    told = torch.tensor([mark.box_xyxy for mark in own]).reshape(-1, 4)
    others = one.where(((one.boxes_xyxy[:, None] - told).abs().amax(2) >= 0.01).all(1))
    return drawing_uri(draw_marks(image, marks[0].box_xyxy, own, others, audit.inventory.classes))


def _classes(audit: Audit) -> str:
    splits = list(audit.counts)
    rows = [
        row(name, [f"{audit.counts[split][k]:,}" for split in splits])
        for k, name in enumerate(audit.inventory.classes)
    ]
    head = ("Class", *(split_name(split).capitalize() for split in splits))
    return long_table(head, rows, f"{audit.counted.capitalize()} that can be used.", "counts")
