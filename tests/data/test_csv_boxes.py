"""CSV of boxes: hand-worked cases, names of columns, delimiters, units, faults with their line."""

import csv

import pytest
from box_sets import random_set, write_set
from faulty_pictures import encode, smooth_pixels, write_files

from striate.data.formats import csv_boxes
from striate.data.label_files import LabelFiles
from striate.errors import InputError

PNG = encode(smooth_pixels(50, 100), "PNG")  # 100 wide, 50 high


def read(folder, texts, pictures=("a.png", "b.png")):
    files = {name: text.encode() for name, text in texts.items()}
    write_files(folder, files | dict.fromkeys(pictures, PNG))
    return csv_boxes.read(LabelFiles.open(folder))


def read_text(folder, text):
    return read(folder, {"boxes.csv": text})


def objects(found):
    return [(p.path, a.label, a.box_xyxy) for p in found.pictures for a in p.annotations]


# --- what is read --------------------------------------------------------------------------------------

EXPECTED = [
    ("a.png", "dog", (10, 20, 30.5, 40)),
    ("a.png", "cat", (0, 0, 1, 1)),
    ("b.png", "dog", (5, 6, 7, 8)),
]

_CORNERS = """filename,class,xmin,ymin,xmax,ymax

a.png,dog,10,20,30.5,40
a.png,cat,0,0,1,1
b.png,dog,5,6,7,8
"""
_SIDES = "x;y;w;h;image;label\n10;20;20.5;20;a.png;dog\n0;0;1;1;a.png;cat\n5;6;2;2;b.png;dog"
_SPACES = (
    "Image Path\t X Min\tYmin\tXMAX\tYmax\tClass\na.png\t 10\t20 \t30.5\t40\tdog\n"
    "a.png\t0\t0\t1\t1\tcat\nb.png\t5\t6\t7\t8\tdog\n"
)
TABLES = {
    "corners": _CORNERS,
    "byte order mark": f"\ufeff{_CORNERS}",
    "sizes": _SIDES,
    "sizes named as a picture's": _SIDES.replace("w;h", "width;height"),
    "a corner and sizes": _SIDES.replace("x;y;w;h", "xmin;ymin;width;height"),
    "left and top": _SIDES.replace("x;y;w;h", "left;top;width;height"),
    "bars": _SIDES.replace(";", "|"),
    "tabs and spaces": _SPACES,
    "line ends of Windows": _SPACES.replace("\n", "\r\n"),
    "a first line of Excel": f"sep=;\r\n{_SIDES}",
    "delimiters behind the last value": _CORNERS.replace(",40\n", ",40,\n").replace(",8\n", ",8,,\n"),
    "delimiters behind all lines": _CORNERS.replace("\n", ",\n"),
    "quotations after spaces": _CORNERS.replace(",", '", "').replace("\n", '"\n"').strip('"\n').join('""'),
    "lines with nothing": _CORNERS.replace("\na.png", "\n,,,,,\na.png", 1) + ",,,,,\n",
    "names without suffix": _CORNERS.replace(".png", ""),
    "one column of boxes": "image_id,label,bbox\n"
    'a.png,dog,"[10, 20, 20.5, 20]"\na.png,cat,"[0.0, 0.0, 1.0, 1.0]"\nb.png,dog,"[5, 6, 2, 2]"\n',
    "decimal commas": _SIDES.replace(".5", ",5"),
    "retinanet": "a.png,10,20,30.5,40,dog\na.png,0,0,1,1,cat\nb.png,5,6,7,8,dog\n",
}

TOLD = {
    "one column of boxes": ["the column bbox is taken as x, y, width, height"],
    "decimal commas": ["numbers have a decimal comma: 10,5 is ten and a half"],
}


@pytest.mark.parametrize("table", TABLES)
def test_usual_tables_hold_the_same_boxes(tmp_path, table):
    found = read_text(tmp_path, TABLES[table])
    assert objects(found) == EXPECTED
    assert [problem.what for problem in found.problems] == TOLD.get(table, [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_tables_are_read_in_each_encoding_of_unicode(tmp_path, encoding):
    write_files(tmp_path, {"boxes.csv": _CORNERS.encode(encoding), "a.png": PNG, "b.png": PNG})
    files = LabelFiles.open(tmp_path)
    assert csv_boxes.recognizes(files)
    assert objects(csv_boxes.read(files)) == EXPECTED


def test_places_are_lines_of_the_file(tmp_path):
    found = read_text(tmp_path, "filename,class,xmin,ymin,xmax,ymax\n\na.png,dog,1,2,3,4\na.png,cat,1,2,3,4")
    assert [a.place for a in found.pictures[0].annotations] == ["boxes.csv, line 3", "boxes.csv, line 4"]


@pytest.mark.parametrize(
    "text",
    ["a.png,1,2,3,4,dog\nb.png,,,,,\n", "image,x1,y1,x2,y2,class\na.png,1,2,3,4,dog\nb.png,,,,,"],
)
def test_a_line_without_a_box_is_a_picture_without_objects(tmp_path, text):
    found = read_text(tmp_path, text)
    assert [len(picture.annotations) for picture in found.pictures] == [1, 0]
    assert found.problems == ()


def test_fractions_are_told_and_become_pixels(tmp_path):
    found = read_text(tmp_path, "a.png,0.1,0.2,0.5,1,dog\nb.png,0,0,1,1,cat\n")
    assert objects(found) == [("a.png", "dog", (10, 10, 50, 50)), ("b.png", "cat", (0, 0, 100, 50))]
    [note] = found.problems
    assert (note.place, note.left_out) == ("boxes.csv", 0)
    assert "taken as fractions" in note.what


@pytest.mark.parametrize(
    ("value", "box", "percent"),
    [
        ("1.0002", (30, 15, 100, 45), "0.02 %"),
        ("1.0000001", (30, 15, 100, 45), ""),
        ("1.01", (30, 15, 100, 45), "1 %"),
    ],
)
def test_a_fraction_a_hair_beyond_the_edge_is_one_and_is_cut(tmp_path, value, box, percent):
    found = read_text(tmp_path, f"a.png,0.1,0.2,0.5,1,dog\nb.png,0.3,0.3,{value},0.9,cat\n")
    assert objects(found) == [("a.png", "dog", (10, 10, 50, 50)), ("b.png", "cat", box)]
    told = [problem.what for problem in found.problems if problem.place == "boxes.csv, line 2"]
    assert bool(told) == bool(percent)
    assert all(percent in what for what in told)


def test_a_fraction_a_hair_below_zero_is_one_and_is_cut(tmp_path):
    found = read_text(tmp_path, "image,label,x,y,w,h\na.png,dog,-0.0003,0.2,0.5,0.4\n")
    assert objects(found) == [("a.png", "dog", (0, 10, 49.97, 30))]
    assert any("0.03 %" in problem.what for problem in found.problems)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("a.png,0.1,0.2,0.5,1,dog\nb.png,0.3,0.3,1.3,0.9,cat\n", 2),
        ("a.png,0.1,0.2,0.5,1,dog\nb.png,30,10,60,20,cat\n", 2),
        ("a.png,0.5,0.5,1.8,1.9,dog\n", 1),
        ("a.png,0,0,1,1,dog\nb.png,0,0,1,1,dog\n", 1),
    ],
)
def test_where_pixels_and_fractions_cannot_be_told_apart_a_line_is_named(tmp_path, rows, line):
    with pytest.raises(InputError) as error:
        read_text(tmp_path, rows)
    assert error.value.where.endswith(f"boxes.csv, line {line}")
    assert "unit" in error.value.what_to_do


def test_pictures_with_fractions_among_pixels_or_with_boxes_within_a_pixel_are_left_out(tmp_path):
    rows = [f"p{k}.png,1,2,{10 + k},20,dog" for k in range(9)]
    rows += ["a.png,0.1,0.2,0.5,0.9,dog", "b.png,5.1,5.2,5.9,5.8,dog"]
    found = read(
        tmp_path, {"boxes.csv": "\n".join(rows)}, ["a.png", "b.png", *(f"p{k}.png" for k in range(9))]
    )
    assert {path: problem.place for path, problem in found.unread.items()} == {
        "a.png": "boxes.csv, line 10", "b.png": "boxes.csv, line 11",
    }  # fmt: skip


def test_boxes_in_one_column_without_a_class_are_of_one_class(tmp_path):
    found = read_text(tmp_path, 'image_id,width,height,bbox,source\na,100,50,"[1, 2, 3, 4]",x\nb,100,50,,x\n')
    assert objects(found) == [("a.png", "object", (1, 2, 4, 6))]
    assert [len(picture.annotations) for picture in found.pictures] == [1, 0]
    assert [problem.place for problem in found.problems] == ["boxes.csv", "boxes.csv"]


@pytest.mark.parametrize(
    "line",
    [
        "a.png,1,2,3,dog", "x,a.png,1,2,3,4,dog", "a.png,1,2,,4,dog", "a.png,1,2,3,4,",
        'a.png,"1,5",2,3,4,dog',
        "a,1,2,three,4,dog",
    ],
)  # fmt: skip
def test_the_picture_of_a_line_that_cannot_be_read_is_left_out(tmp_path, line):
    found = read_text(tmp_path, f"b.png,1,2,3,4,dog\na.png,1,2,9,9,dog\n{line}\n")
    assert {path: problem.place for path, problem in found.unread.items()} == {"a.png": "boxes.csv, line 3"}
    assert [picture.path for picture in found.without(found.unread).pictures] == ["b.png"]


def test_when_no_picture_is_left_the_first_reason_is_told(tmp_path):
    with pytest.raises(InputError, match=r"boxes\.csv, line 2: the line has 4 values, not 6"):
        read_text(tmp_path, "path,x1,y1,x2,y2,class\nx.png,1,2,3\n")


@pytest.mark.parametrize(("unit", "box"), [("pixel", (0, 0, 1, 1)), ("normalized", (0, 0, 100, 50))])
def test_a_column_of_units_decides(tmp_path, unit, box):
    found = read_text(tmp_path, f"path,x1,y1,x2,y2,class,unit\na.png,0,0,1,1,dog,{unit}\n")
    assert objects(found) == [("a.png", "dog", box)]


def test_sizes_splits_flags_and_further_columns(tmp_path):
    head = "filename,width,height,split,class,xmin,ymin,xmax,ymax,difficult,iscrowd,pose,attributes\n"
    found = read_text(tmp_path, head + 'a.png,100,50,valid,dog,1,2,3,4,1,true,left,"{""score"": 0.5}"\n')
    [picture] = found.pictures
    assert (picture.width, picture.height, picture.split) == (100, 50, "val")
    [annotation] = picture.annotations
    assert (annotation.difficult, annotation.truncated, annotation.crowd) == (True, None, True)
    assert annotation.attributes == {"pose": "left", "score": 0.5}


def test_splits_are_those_of_files_and_lists_of_classes_give_the_order(tmp_path):
    row = "{},1,2,3,4,{}\n"
    texts = {
        "train.csv": row.format("a.png", "dog"),
        "val.csv": row.format("b.png", "ape"),
        "classes.csv": "dog,1\nzebra,2\nape,0\n",
    }
    found = read(tmp_path, texts)
    assert [(picture.path, picture.split) for picture in found.pictures] == [
        ("a.png", "train"),
        ("b.png", "val"),
    ]
    assert found.classes == ("ape", "dog", "zebra")


# --- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png,1,2,3,dog", "has 5 values, not 6"),
        ("a.png,1,2,3,4,dog,x", "has 7 values, not 6"),
        ("a.png,1,2,,4,dog", "x2 is missing"),
        ("a.png,1,two,3,4,dog", "y1 is 'two'"),
        ("a.png,1,nan,3,4,dog", "y1 is 'nan'"),
        ("a.png,1,2,3,4,", "the class '' is no"),
        (",1,2,3,4,dog", "no usable name"),
    ],
)
def test_a_line_that_cannot_be_used_is_a_problem_with_its_number(tmp_path, line, message):
    found = read_text(tmp_path, f"b.png,1,2,3,4,dog\n{line}\nb.png,2,2,3,4,dog\n")
    assert len(objects(found)) == 2
    [problem] = [problem for problem in found.problems if problem.left_out]
    assert message in problem.what
    assert (problem.place, problem.left_out) == ("boxes.csv, line 2", 1)


def test_a_picture_that_is_said_to_be_two_things_is_told(tmp_path):
    head = "filename,width,height,split,class,xmin,ymin,xmax,ymax\n"
    rows = "a.png,100,50,train,dog,1,2,3,4\na.png,100,51,val,dog,1,2,3,5\n"
    rows += "a.png,,,,,,,,\na.png,,x,foo,dog,1,1,2,2\n"
    found = read(tmp_path, {"boxes.csv": head + rows}, ["a.png"])
    assert (found.pictures[0].height, found.pictures[0].split) == (50, "train")
    assert [(problem.place[-1], problem.what[:27]) for problem in found.problems] == [
        ("3", "the height of the picture i"),
        ("3", "the split of the picture is"),
        ("5", "the height 'x' of the pictu"),
        ("4", "the picture has objects in "),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no columns for picture, class and box"),
        ("filename,xmin,ymin,xmax,ymax\na.png,1,2,3,4\n", "no columns for picture, class and box"),
        ("filename,class,xmin,ymin,xmax,ymax,xmin\n", "no columns for picture, class and box"),
        ('a.png,1,2,3,4,dog\na.png,1,2,3,4,"dog\n', "no CSV: unexpected end of data"),
        ("path,x1,y1,x2,y2,class,unit\na.png,0,0,1,1,dog,inch\n", "the unit is 'inch'"),
    ],
)
def test_a_file_that_is_no_table_of_boxes_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_text(tmp_path, text)
    assert "boxes.csv" in caught.value.where


def test_other_tables_are_left_aside_and_told(tmp_path):
    found = read(tmp_path, {"boxes.csv": "a.png,1,2,3,4,dog\n", "scores.csv": "name,score\nx,1\n"}, ["a.png"])
    assert [(problem.place, problem.what) for problem in found.problems] == [
        ("scores.csv", "the file is no table of boxes and is left aside")
    ]


@pytest.mark.parametrize("text", ["dog\n", "dog,x\n", "dog,1\ncat,1\n", "dog,1\ndog,2\n", ",1\n"])
def test_a_list_of_classes_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(InputError) as caught:
        read(tmp_path, {"boxes.csv": "a.png,1,2,3,4,dog\n", "classes.csv": text})
    assert "classes.csv, line" in caught.value.where


def test_paths_never_lead_out(tmp_path):
    write_files(tmp_path, {"secret.png": PNG})
    found = read_text(tmp_path / "data", "../secret.png,0.1,0.2,0.3,0.4,dog\na.png,0,0,1,1,cat\n")
    assert objects(found) == [("a.png", "cat", (0, 0, 100, 50))]
    assert any("there is no such file" in problem.what and problem.left_out for problem in found.problems)


# --- what is written -----------------------------------------------------------------------------------


def test_the_csv_module_reads_what_is_written(tmp_path):
    annotations, contents = random_set(8)
    write_set("csv", annotations, contents, tmp_path / "out")
    with (tmp_path / "out/annotations.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = [(a.label, *a.box_xyxy) for picture in annotations.pictures for a in picture.annotations]
    corners = ("xmin", "ymin", "xmax", "ymax")
    assert [(row["class"], *(float(row[c]) for c in corners)) for row in rows if row["class"]] == expected
    assert sum(not row["class"] for row in rows) == sum(not p.annotations for p in annotations.pictures)
    assert all((tmp_path / "out" / row["filename"]).is_file() for row in rows)


def test_boxes_within_the_first_pixel_are_not_taken_for_fractions(tmp_path):
    found = read_text(tmp_path / "in", "path,x1,y1,x2,y2,class,unit\na.png,0,0,1,0.5,dog,pixel\n")
    write_set("csv", found, {"a.png": PNG}, tmp_path / "out")
    assert objects(csv_boxes.read(LabelFiles.open(tmp_path / "out"))) == [
        ("images/a.png", "dog", (0, 0, 1, 0.5))
    ]
