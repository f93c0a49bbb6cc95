"""VIA 3 projects: the labels of pictures that the third version of the VGG Image Annotator saves.

    {"attribute": {"1": {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 3, "options": {"0": "dog"}}},
     "file": {"7": {"fid": "7", "fname": "a.jpg", "type": 2}},
     "view": {"5": {"fid_list": ["7"]}},
     "metadata": {"5_x": {"vid": "5", "z": [], "xy": [2, 10, 20, 30, 40], "av": {"1": "0"}}}, ...}

- A label belongs to a view, and a view to a file. The first number of "xy" is the shape: 2 is a rectangle
  with x, y, width and height.
- "av" has the values of attributes by their ids; of a choice it has the ids of options.
- A label without a place in the picture is an attribute of it.
"""

from typing import Any

from striate.data.annotations import Problem, quoted
from striate.data.formats.via_documents import ViaDocument, ViaEntry
from striate.data.json_reading import is_number

_PARTS = ("attribute", "file", "view", "metadata")
_SHAPES = {  # by the first number of "xy": name, and what the other numbers are
    1: ("point", ("cx", "cy")),
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
    5: ("line", ()),
    6: ("polyline", ()),
    7: ("polygon", ()),
    8: ("extreme_rect", ()),  # points that it touches
}
_TICKS = 2  # the type of an attribute of which several options may be chosen


def is_via3(content: bytes) -> bool:
    """Whether JSON, as UTF-8, looks like a project of VIA 3."""
    return b'"vid_list"' in content and b'"fid_list"' in content and b'"metadata"' in content


def is_project(document: Any) -> bool:
    """Whether JSON is a project of VIA 3."""
    return isinstance(document, dict) and all(isinstance(document.get(part), dict) for part in _PARTS)


def document(path: str, project: dict[str, Any]) -> ViaDocument:
    """The pictures of a project."""
    attributes, files, views, labels = (project[part] for part in _PARTS)
    attributes = {key: facts for key, facts in attributes.items() if isinstance(facts, dict)}
    regions: dict[str, list[tuple[str, Any]]] = {vid: [] for vid in views}
    said: dict[str, dict[str, Any]] = {vid: {} for vid in views}
    problems = []
    for key, label in labels.items():
        where = f"metadata[{quoted(key)}]"
        vid = str(label.get("vid")) if isinstance(label, dict) else ""
        if vid not in views:
            what = "the label belongs to no view of the project; it is left out"
            problems.append(Problem(f"{path}, {where}", what, left_out=1))
        elif label.get("xy") == [] and label.get("z") == []:
            said[vid] |= _values(label, attributes)
        else:
            values = _values(label, attributes)
            regions[vid].append((where, {"shape_attributes": _shape(label), "region_attributes": values}))
    entries = []
    for vid, view in views.items():
        listed = view.get("fid_list") if isinstance(view, dict) else None
        names = [files.get(str(fid)) for fid in listed] if isinstance(listed, list) else []
        fault = "" if len(names) == 1 else f"the view is of {len(names)} files, not one"
        for file in names or [None]:
            name = file.get("fname") if isinstance(file, dict) else None
            facts = {"filename": name, "file_attributes": said[vid]}
            entries.append(ViaEntry(f"view[{quoted(vid)}]", facts, tuple(regions.pop(vid, ())), fault))
    declared = {
        str(facts.get("aname")): {"options": dict.fromkeys(map(str, _options(facts).values()), "")}
        for facts in attributes.values()
        if str(facts.get("anchor_id")).endswith("_XY1")
    }
    return ViaDocument(path, tuple(entries), declared, tuple(problems))


def _shape(label: dict[str, Any]) -> dict[str, Any] | None:
    """The shape as VIA 2 writes it; None if it is none."""
    xy = label.get("xy")
    if label.get("z") or not isinstance(xy, list) or not xy:
        return None  # a time of a film
    kind = int(xy[0]) if is_number(xy[0]) else 0
    name, keys = _SHAPES.get(kind, (f"of the kind {xy[0]}", ()))
    xs, ys = xy[1::2], xy[2::2]
    if name == "polygon":
        return {"name": name, "all_points_x": xs, "all_points_y": ys}
    if name == "extreme_rect" and all(map(is_number, xy)) and len(xs) == len(ys) > 1:
        x, y = min(xs), min(ys)
        return {"name": "rect", "x": x, "y": y, "width": max(xs) - x, "height": max(ys) - y}
    return {"name": name, **dict(zip(keys, xy[1:], strict=False))}


def _values(label: dict[str, Any], attributes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The attributes of a label by name; None for an option that there is not."""
    written = label.get("av")
    found: dict[str, Any] = {}
    for key, value in written.items() if isinstance(written, dict) else ():
        facts = attributes.get(key, {})
        options, name = _options(facts), str(facts.get("aname", key))
        if facts.get("type") == _TICKS:
            chosen = [part for part in str(value).split(",") if part]
            found[name] = {str(options.get(part, part)): True for part in chosen}
        else:
            found[name] = options.get(str(value)) if options else value
    return found


def _options(facts: dict[str, Any]) -> dict[str, Any]:
    options = facts.get("options")
    return options if isinstance(options, dict) else {}
