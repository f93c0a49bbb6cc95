"""Label files as other programs write them, mutated in what they say: encodings, delimiters, numbers, names.

Of every picture either all objects are read as they were, or it is left out by name, or the whole is refused
with the file named. Nothing is moved onto another picture, and nothing becomes a picture without objects.
"""

import csv
import io
import json
import random
import unicodedata
from pathlib import Path

import pytest
from faulty_pictures import encode, smooth_pixels

from striate.data.formats.annotations import READERS
from striate.data.formats.boxes import as_dataset
from striate.data.label_files import LabelFiles
from striate.data.picture_sizes import PictureSizes
from striate.errors import InputError

WIDTH, HEIGHT = 64, 48
PNG = encode(smooth_pixels(HEIGHT, WIDTH), "PNG")
PICTURES = {
    "images/cam1/a.png": [("dog", (10, 20, 30.5, 40)), ("chat é", (0, 0, 12, 8.5))],
    "images/cam1/b.png": [("dog", (5, 6, 17.5, 18))],
    "images/cam1/été.png": [("dog", (1.5, 2, 30, 40))],
    "images/cam1/none.png": [],
}
DECOYS = ("images/cam2/a.png", "images/cam2/c.png", "vis/cam1/b.png")  # of which nothing is said
RUNS = 130  # of each format

NOT_NUMBERS = ("", "null", "NaN", "inf", "N/A", "1,5,2", "1.234,5", "ten", "[1]", "1 0", "0x10", "--1")


def same_number(value, rng):
    """Another way to write a number."""
    ways = (f"{value:.9f}", f"{value:.9e}", f" {value} ", f"+{value}", f"{value:.6f}", f"0{value}")
    return rng.choice(ways)


def other_name(path, rng):
    """Another way to write the path of a picture, or a name that may mean another one."""
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    return rng.choice(
        (
            name, path, stem, f"./{path}", path.replace("/", "\\"), f"C:\\data\\{folder}\\{name}",
            f"../{path}", f"/home/me/cam1/{name}", f"cam1/{name}", f"cam4/{name}", f"cam3/{name}",
            f"vis/{name}", name.upper(), f"{stem}.jpg", f" {name} ", unicodedata.normalize("NFD", path), "",
            f"cam1/{stem}", f"test/{name}", f"other/{name}", f"{name}.png", "..", "cam2/d.png\0",
        )
    )  # fmt: skip


def changed(values, rng, at=lambda key: True):
    """Numbers of which one is written in another way, or is none."""
    key = rng.choice([key for key in values if at(key)])
    new = same_number(values[key], rng) if rng.random() < 0.4 else rng.choice(NOT_NUMBERS)
    return {**values, key: new}


# --- CSV -----------------------------------------------------------------------------------------------


def csv_files(rng):
    scale = rng.choice(((1, 1), (1, 1), (WIDTH, HEIGHT)))  # pixels or fractions
    order = rng.choice(("filename class xmin ymin xmax ymax", "xmin ymin xmax ymax class filename"))
    head = order.split()
    rows = []
    for path, objects in PICTURES.items():
        for label, box in objects:
            corners = dict(
                zip(head[2:6] if head[0] == "filename" else head[:4], scaled(box, scale), strict=True)
            )
            rows.append({"filename": path, "class": label, **corners})
        if not objects:
            rows.append({"filename": path})
    victim = rng.randrange(len(rows) - 1)
    kind = rng.randrange(6)
    if kind == 0:
        rows[victim] = changed(rows[victim], rng, lambda key: key in ("xmin", "ymin", "xmax", "ymax"))
    elif kind == 1:
        rows[victim]["filename"] = other_name(rows[victim]["filename"], rng)
    elif kind == 2:
        own = rows[victim]["filename"]
        new = other_name(own, rng)
        rows = [{**row, "filename": new} if row["filename"] == own else row for row in rows]
    elif kind == 3:
        rows[victim]["class"] = rng.choice(("", " ", "\x85"))
    elif kind == 4:
        for key, side in {"xmin": WIDTH, "ymin": HEIGHT, "xmax": WIDTH, "ymax": HEIGHT}.items():
            value = rows[victim][key]  # one line in the other unit
            rows[victim][key] = value * side if scale[0] > 1 else value / side
    table = [head, *([str(row.get(key, "")) for key in head] for row in rows)]
    return {"labels.csv": encoded(mutated_table(table, rng, decimals=True), rng)}


def scaled(box, scale):
    return [round(value / scale[k % 2], 6) for k, value in enumerate(box)]


def mutated_table(table, rng, decimals=False):
    """The text of a CSV file, in one of many dialects."""
    kind = rng.randrange(14)
    delimiter = rng.choice(",,;\t|")
    victim = rng.randrange(1, len(table))
    if kind == 0:
        table = [[*row, ""] for row in table[:1]] + [[*row, "", ""] for row in table[1:]]
    elif kind == 1:
        table = table[:1] + [[*row, ""] for row in table[1:]]
    elif kind == 2:
        table[victim] = table[victim][: rng.randrange(1, len(table[victim]))]
    elif kind == 3:
        table[victim].insert(rng.randrange(len(table[victim]) + 1), rng.choice(("7", "x", "")))
    elif kind == 4:
        table.insert(victim, rng.choice(([""] * len(table[0]), [" "], ["", ""])))
    elif kind == 5 and decimals:
        delimiter = rng.choice(",;\t")
        table = [[cell.replace(".", ",") if is_number(cell) else cell for cell in row] for row in table]
    elif kind == 6 and decimals:
        table[0] = [
            name.replace("m", " M").title() if name[:1] in "xy" else name.upper() for name in table[0]
        ]
    elif kind == 7:
        del table[victim][-1]
    quoting = csv.QUOTE_ALL if kind in (8, 9) else csv.QUOTE_MINIMAL
    out = io.StringIO()
    csv.writer(
        out, delimiter=delimiter, quoting=quoting, lineterminator=rng.choice(("\n", "\r\n", "\n\n"))
    ).writerows(table)
    text = out.getvalue()
    if kind == 9:
        text = text.replace(f'"{delimiter}"', f'"{delimiter} "')
    if kind in (10, 11):
        text = f"sep={delimiter}\r\n{text}"
    return text


def is_number(cell):
    return cell.replace(".", "", 1).isdecimal()


def encoded(text, rng):
    """The bytes of a text in one of the encodings that are used for labels."""
    encodings = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32")
    return text.encode(rng.choice(encodings), "replace")


def retinanet_files(rng):
    table = []
    for path, objects in PICTURES.items():
        table += [[path, *map(str, box), label] for label, box in objects] or [[path, *[""] * 5]]
    victim = rng.randrange(len(table) - 1)
    if rng.random() < 0.5:
        k = rng.randrange(1, 5)
        value = float(table[victim][k])
        table[victim][k] = same_number(value, rng) if rng.random() < 0.4 else rng.choice(NOT_NUMBERS)
    else:
        table[victim][0] = other_name(table[victim][0], rng)
    return {"labels.csv": encoded(mutated_table([table[0], *table[1:]], rng), rng)}


def open_images_files(rng):
    head = "ImageID Source LabelName Confidence XMin XMax YMin YMax IsOccluded IsTruncated IsGroupOf"
    table = [head.split(" ")]
    ids = {"dog": "/m/01", "chat é": "/m/02"}
    for path, objects in PICTURES.items():
        for label, box in objects:
            x1, y1, x2, y2 = map(str, scaled(box, (WIDTH, HEIGHT)))
            table.append([path.split("/")[-1][:-4], "x", ids[label], "1", x1, x2, y1, y2, "0", "-1", "0"])
    victim = rng.randrange(1, len(table))
    kind = rng.randrange(4)
    if kind == 0:
        table[victim][0] = other_name(f"images/cam1/{table[victim][0]}.png", rng)
    elif kind == 1:
        k = rng.randrange(4, 8)
        value = float(table[victim][k])
        table[victim][k] = same_number(value, rng) if rng.random() < 0.4 else rng.choice(NOT_NUMBERS)
    elif kind == 2:
        table[victim][2] = rng.choice(("", "\x07"))
    names = "/m/01,dog\n/m/02,chat é\n"
    names = rng.choice((names, f"LabelName,DisplayName\n{names}", f"\ufeff{names}"))
    return {
        "images/cam1/train-annotations-bbox.csv": encoded(mutated_table(table, rng), rng),
        "class-descriptions-boxable.csv": names.encode(),
    }


# --- VIA -----------------------------------------------------------------------------------------------


def rect(box):
    x1, y1, x2, y2 = box
    return {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}


def odd_value(rng):
    return rng.choice((None, "12", "", [], {}, True, "null", [1], {"a": 1}))


def odd_region(region, rng):
    """A region with something wrong in it."""
    kind = rng.randrange(6)
    shape = region["shape_attributes"]
    if kind == 0:
        shape[rng.choice(("x", "y", "width", "height"))] = odd_value(rng)
    elif kind == 1:
        region["region_attributes"]["class"] = rng.choice(([], None, True, {"dog": True, "cat": True}))
    elif kind == 2:
        return odd_value(rng)
    elif kind == 3:
        shape["name"] = rng.choice(("polyline", "point", "polygon", "cube", None))
    elif kind == 4:
        region[rng.choice(("shape_attributes", "region_attributes"))] = rng.choice((None, [], "x"))
    else:
        del shape[rng.choice(list(shape))]
    return region


def via_entries(rng):
    entries = {}
    for path, objects in PICTURES.items():
        name = f"cam1/{path.split('/')[-1]}"
        regions = [
            {"shape_attributes": rect(box), "region_attributes": {"class": label}} for label, box in objects
        ]
        entries[name] = {"filename": name, "size": 7, "regions": regions, "file_attributes": {}}
    return entries


def via_files(rng):
    entries = via_entries(rng)
    entry = entries[rng.choice(list(entries)[:3])]
    kind = rng.randrange(5)
    if kind == 0:
        entry["filename"] = rng.choice((other_name(f"images/{entry['filename']}", rng), None, 7))
    elif kind == 1:
        entry["regions"] = rng.choice(
            (None, "x", {"0": entry["regions"][0]} if len(entry["regions"]) < 2 else 7)
        )
    elif kind in (2, 3):
        entry["regions"][-1] = odd_region(entry["regions"][-1], rng)
    document = rng.choice((entries, {"_via_img_metadata": entries, "_via_settings": {}}))
    return {"images/via.json": encoded(json.dumps(document, ensure_ascii=rng.random() < 0.5), rng)}


def via_csv_files(rng):
    head = (
        "filename file_size file_attributes region_count region_id region_shape_attributes region_attributes"
    )
    table = [head.split(" ")]
    for name, entry in via_entries(rng).items():
        regions = entry["regions"]
        for k, region in enumerate(regions or [{"shape_attributes": {}, "region_attributes": {}}]):
            cells = (json.dumps(region["shape_attributes"]), json.dumps(region["region_attributes"]))
            table.append([name, "7", "{}", str(len(regions)), str(k), *cells])
    victim = rng.randrange(1, len(table) - 1)
    kind = rng.randrange(6)
    if kind == 0:
        table[victim][0] = other_name(f"images/{table[victim][0]}", rng)
    elif kind == 1:
        table[victim][rng.choice((5, 6))] = rng.choice(("", "{", "null", "[]", "{}", '{"name": "rect"}'))
    elif kind == 2:
        del table[victim]
    elif kind == 3:
        table[victim][5] = json.dumps({**json.loads(table[victim][5]), "x": odd_value(rng)})
    return {"images/via.csv": encoded(mutated_table(table, rng), rng)}


def via3_files(rng):
    labels = {"0": "dog", "1": "chat é"}
    project = {
        "project": {"vid_list": []},
        "attribute": {
            "1": {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 3, "options": labels},
            "2": {"aname": "night", "anchor_id": "FILE1_Z0_XY0", "type": 1, "options": {}},
        },
        "file": {}, "view": {}, "metadata": {},
    }  # fmt: skip
    for k, (path, objects) in enumerate(PICTURES.items()):
        project["file"][str(k)] = {"fid": str(k), "fname": f"cam1/{path.split('/')[-1]}", "type": 2}
        project["view"][f"v{k}"] = {"fid_list": [str(k)]}
        for i, (label, (x1, y1, x2, y2)) in enumerate(objects):
            option = next(key for key, name in labels.items() if name == label)
            xy = [2, x1, y1, x2 - x1, y2 - y1]
            project["metadata"][f"{k}_{i}"] = {"vid": f"v{k}", "z": [], "xy": xy, "av": {"1": option}}
    victim = rng.choice(list(project["metadata"].values()))
    kind = rng.randrange(8)
    if kind == 0:
        victim["xy"] = rng.choice(
            (None, [2], [2, 1, 2, 3], [1, 5, 5], [9, 1, 2, 3, 4, 5, 6], [2, "1", 2, 3, 4], 7)
        )
    elif kind == 1:
        victim["av"]["1"] = rng.choice(("9", None, [], {"0": True}))
    elif kind == 2:
        project["view"][victim["vid"]]["fid_list"] = rng.choice(([], None, ["0", "1"], ["9"]))
    elif kind == 3:
        victim["z"] = [1.5, 2.5]
    elif kind == 4:
        project["file"][victim["vid"][1:]]["fname"] = other_name(
            f"images/{project['file'][victim['vid'][1:]]['fname']}", rng
        )
    elif kind == 5:
        x1, y1, w, h = victim["xy"][1:]
        victim["xy"] = [7, x1, y1, x1 + w, y1, x1 + w, y1 + h]  # a triangle with the same box
    elif kind == 6:
        project["metadata"]["0_night"] = {"vid": "v0", "z": [], "xy": [], "av": {"2": "yes"}}
    return {"images/via3.json": encoded(json.dumps(project, ensure_ascii=rng.random() < 0.5), rng)}


# --- XML -----------------------------------------------------------------------------------------------


def tags(values):
    return "".join(f"<{tag}>{value}</{tag}>" for tag, value in values.items())


def voc_object(label, box, rng):
    """An object, in one of the ways that hold the same box."""
    x1, y1, x2, y2 = box
    corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
    kind = rng.randrange(12)
    if kind == 0:
        corners = changed(corners, rng)
    shape = f"<bndbox>{tags(corners)}</bndbox>"
    points = {"x1": x1, "y1": y1, "x2": x2, "y2": y1, "x3": x2, "y3": y2}
    if kind == 1:
        shape = f"<polygon>{tags(rng.choice((points, changed(points, rng))))}</polygon>"
    elif kind == 2:
        turned = {"cx": (x1 + x2) / 2, "cy": (y1 + y2) / 2, "w": x2 - x1, "h": y2 - y1, "angle": 0.0}
        shape = f"<robndbox>{tags(rng.choice((turned, changed(turned, rng))))}</robndbox>"
    elif kind == 3:
        shape += f"<part><name>head</name><bndbox>{tags(corners)}</bndbox></part>"
    elif kind == 4:
        shape = rng.choice((shape * 2, "", f"<BndBox>{tags(corners)}</BndBox>", "<bndbox/>"))
    tag = "Object" if kind == 5 else "object"
    return f"<{tag}><name>{label}</name>{shape}</{tag}>"


def voc_files(rng):
    folder = rng.choice(("annotations/cam1", "Annotations", "images/cam1", "labels/cam1", "xml"))
    files = {}
    listed = []
    for path, objects in PICTURES.items():
        name = path.split("/")[-1]
        written = other_name(path, rng).replace("\0", "") if rng.random() < 0.3 else name
        inner = "".join(voc_object(label, box, rng) for label, box in objects)
        folder_said = rng.choice(("", "<folder>cam1</folder>", "<path>/x/cam1/q.png</path>"))
        size = rng.choice(("", "<size><width>0</width><height>0</height></size>"))
        xml = f"<annotation>\n{folder_said}<filename>{written}</filename>{size}\n{inner}</annotation>"
        files[f"{folder}/{name[:-4]}.xml"] = encoded(xml, rng) if rng.random() < 0.2 else xml.encode()
        listed.append(rng.choice((name, name[:-4], f"{name[:-4]}.xml", path, f"{name[:-4]} 1", f"./{path}")))
    if rng.random() < 0.3:
        files[rng.choice(("ImageSets/Main/train.txt", "train.txt"))] = encoded(
            rng.choice(("\n", "\r\n")).join(listed), rng
        )
    return files


def cvat_shape(label, box, rng):
    x1, y1, x2, y2 = box
    values = dict(zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    kind = rng.randrange(10)
    if kind == 0:
        values = changed(values, rng)
    elif kind == 1:
        return f'<polygon label="{label}" points="{x1},{y1};{x2},{y1};{x2},{y2}"/>'
    elif kind == 2:
        points = f"{x1},{y1};{x2},{y1}"
        tag = rng.choice(("polygon", "polyline", "points", "skeleton", "sphere"))
        return f'<{tag} label="{label}" points="{points}"/>'
    elif kind == 3 and all(float(value).is_integer() for value in box):
        w, h = int(x2 - x1), int(y2 - y1)
        rle = rng.choice((f"0, {w * h}", f"0, {w * h - 1}", f"1, {w * h - 2}, 1", "7", "", f"{w * h}", "a"))
        return f'<mask label="{label}" left="{x1}" top="{y1}" width="{w}" height="{h}" rle="{rle}"/>'
    more = ' rotation="0.0"' if kind == 4 else ""
    numbers = " ".join(f'{key}="{value}"' for key, value in values.items())
    return f'<box label="{label}" {numbers}{more}/>'


def cvat_files(rng):
    images = ""
    for k, (path, objects) in enumerate(PICTURES.items()):
        name = f"cam1/{path.split('/')[-1]}"
        name = other_name(f"images/{name}", rng).replace("\0", "") if rng.random() < 0.2 else name
        shapes = "".join(cvat_shape(label, box, rng) for label, box in objects)
        images += f'<image id="{k}" name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>\n'
    return {"annotations.xml": encoded(f"<annotations>{images}</annotations>", rng)}


# --- what must hold ------------------------------------------------------------------------------------

MAKERS = {
    "csv": csv_files,
    "csv of retinanet": retinanet_files,
    "open-images": open_images_files,
    "via": via_files,
    "via csv": via_csv_files,
    "via 3": via3_files,
    "voc": voc_files,
    "cvat": cvat_files,
}


def loaded(name, labels):
    """The data set, of files in memory, or the error."""
    contents = {**labels, **dict.fromkeys((*PICTURES, *DECOYS), PNG)}
    files = LabelFiles(Path("data"), tuple(sorted(contents)), contents.__getitem__)
    try:
        return as_dataset(READERS[name](files), PictureSizes(files), "data", name)
    except InputError as error:
        return error


def objects_by_picture(dataset):
    found = {}
    for split in dataset.splits.values():
        for k, path in enumerate(split.images.paths):
            boxes = [tuple(round(v, 2) for v in box) for box in split.objects[k].boxes_xyxy.tolist()]
            found[path] = sorted(
                zip([dataset.classes[c] for c in split.objects[k].labels], boxes, strict=True)
            )
    return found


@pytest.mark.parametrize("kind", MAKERS)
def test_every_picture_has_its_objects_or_is_left_out_by_name(kind):
    rng = random.Random(kind)
    used = refused = whole = 0
    for _ in range(RUNS):
        labels = MAKERS[kind](rng)
        dataset = loaded(kind.split(" ")[0], labels)
        if isinstance(dataset, InputError):
            refused += 1
            named = [path for path in (*labels, *PICTURES) if path.split("/")[-1] in str(dataset)]
            assert named, (labels, str(dataset))
            continue
        used += 1
        found = objects_by_picture(dataset)
        told = [f"{fault.name}: {fault.what}" for fault in dataset.faults] + list(dataset.remarks)
        assert found.keys() <= PICTURES.keys(), (labels, told)
        for path, expected in PICTURES.items():
            wanted = sorted((label, tuple(map(float, box))) for label, box in expected)
            if path in found and found[path] != wanted:
                # of a line that names none of the pictures, nobody can tell which it is of
                assert is_part(found[path], wanted), (path, found[path], labels, told)
                assert any(_tells_a_loss(line) and next(iter(labels)) in line for line in told), (
                    path,
                    labels,
                    told,
                )
            elif path not in found and expected:
                stem = path.split("/")[-1][:-4]
                is_named = any(stem in unicodedata.normalize("NFC", line) for line in told)
                is_counted = any("without labels" in line for line in told) and any(map(_tells_a_loss, told))
                assert is_named or is_counted, (path, labels, told)
        whole += len(found) == sum(map(bool, PICTURES.values())) + (kind != "open-images")
    assert used > RUNS / 4, refused
    assert whole > RUNS / 10


def is_part(found, wanted):
    return 0 < len(found) < len(wanted) and all(one in wanted for one in found)


def _tells_a_loss(line):
    return "left out" in line or "no readable picture" in line
