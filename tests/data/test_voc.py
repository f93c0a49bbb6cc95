import cmath
import math
import re
import unicodedata
import zipfile
from xml.etree import ElementTree

import pytest
from label_cases import VARIED, a_set, assert_same_objects, box, files_of, outlined, picture

from striate.data.annotations import RunLengths
from striate.data.formats import voc
from striate.data.label_files import LabelFiles
from striate.data.write import voc as writer
from striate.errors import InputError

HEAD = "<filename>a.jpg</filename><size><width>200</width><height>100</height><depth>3</depth></size>"


def xml(*objects: str, head: str = HEAD) -> str:
    return f"<annotation>\n{head}\n{chr(10).join(objects)}\n</annotation>\n"


def thing(corners=(1, 1, 1, 1), more="", name="dog"):
    tags = "".join(
        f"<{tag}>{value}</{tag}>"
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{tags}</bndbox></object>"


def read(files, **more):
    return voc.read(files_of(files, **more))


def only(annotations):
    """The one object."""
    ((found,),) = [picture.annotations for picture in annotations.pictures]
    return found


def test_corners_count_from_one_and_both_belong_to_the_object():
    found = only(read({"a.xml": xml(thing((1, 1, 1, 1))), "a.jpg": ""}))
    assert found.box_xyxy == (0, 0, 1, 1)
    assert found.place == "a.xml, line 3"


def test_blood_cells_are_as_their_files_say(real_data):
    path = real_data / "bccd.zip"
    annotations = voc.read(LabelFiles.open(path))
    assert annotations.problems == ()
    assert annotations.classes == ("Platelets", "RBC", "WBC")
    read_boxes = {p.path: [(a.label, a.box_xyxy) for a in p.annotations] for p in annotations.pictures}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        expected = {}
        for name in (name for name in names if name.endswith(".xml")):
            boxes = [
                (
                    item.findtext("name"),
                    tuple(
                        int(item.findtext(f"bndbox/{corner}")) - (corner in ("xmin", "ymin"))
                        for corner in ("xmin", "ymin", "xmax", "ymax")
                    ),
                )
                for item in ElementTree.fromstring(archive.read(name)).iter("object")
            ]
            expected[name.replace("Annotations", "JPEGImages").replace(".xml", ".jpg")] = boxes
        assert read_boxes == expected
        for split in ("train", "val", "test"):
            stems = archive.read(f"BCCD/ImageSets/Main/{split}.txt").decode().split()
            assert stems == [p.path.split("/")[-1][:-4] for p in annotations.pictures if p.split == split]


def test_folder_and_archive_read_the_same(tmp_path):
    writer.write(VARIED, tmp_path)
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        for path in sorted(tmp_path.rglob("*.*")):
            if path.suffix in (".xml", ".txt"):
                archive.write(path, path.relative_to(tmp_path))
    zipped = voc.read(LabelFiles.open(tmp_path / "labels.zip"))
    assert zipped.pictures == voc.read(LabelFiles.open(tmp_path)).pictures


def test_one_named_file_is_read_alone(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.xml").write_text(xml(thing()))
    annotations = voc.read(LabelFiles.open(tmp_path / "a.xml"))
    assert [p.place for p in annotations.pictures] == ["a.xml"]


def test_flags_and_all_else_are_kept():
    more = (
        "<pose>Left</pose><truncated>1</truncated><difficult>0</difficult><actions><jumping>1</jumping></actions>"
        "<part><name>head</name><bndbox><xmin>5</xmin></bndbox></part><part><name>foot</name></part>"
        "<attributes><attribute><name>age</name><value>7</value></attribute></attributes>"
    )
    head = f"{HEAD}<folder>x</folder><source><database>VOC</database><image>flickr</image></source>"
    annotations = read({"a.xml": xml(thing(more=more), head=head), "a.jpg": ""})
    found = only(annotations)
    assert (found.truncated, found.difficult, found.occluded) == (True, False, None)
    assert found.attributes == {
        "pose": "Left", "actions.jumping": "1", "part[0].name": "head", "part[0].bndbox.xmin": "5",
        "part[1].name": "foot", "age": "7",
    }  # fmt: skip
    assert annotations.pictures[0].attributes == {
        "folder": "x", "source.database": "VOC", "source.image": "flickr", "depth": "3",
    }  # fmt: skip
    assert (annotations.pictures[0].width, annotations.pictures[0].height) == (200, 100)


def test_a_flag_that_is_none_is_kept_as_an_attribute_and_named():
    annotations = read({"a.xml": xml(thing(more="<difficult>maybe</difficult>")), "a.jpg": ""})
    assert only(annotations).difficult is None
    assert only(annotations).attributes == {"difficult": "maybe"}
    assert "difficult is 'maybe'" in annotations.problems[0].what


@pytest.mark.parametrize(
    ("files", "label", "found", "faults"),
    [
        (("a.jpg",), "a.xml", "a.jpg", 0),
        (("pictures/a.jpg",), "labels/a.xml", "pictures/a.jpg", 0),
        (("V/JPEGImages/a.jpg", "V/SegmentationClass/a.png"), "V/Annotations/a.xml", "V/JPEGImages/a.jpg", 0),
        (("train/a.jpg", "test/a.jpg"), "test/a.xml", "test/a.jpg", 0),
        (("b.jpg",), "b.xml", "b.jpg", 1),  # the filename says a.jpg
        (("a.jpg",), "b.xml", "a.jpg", 0),  # no picture has the name of the file
        (("a.jpg", "b.jpg"), "b.xml", "b.jpg", 1),  # that of the filename would be another
        (("a.png",), "a.xml", "a.png", 0),
        ((), "x/a.xml", "x/a.jpg", 0),
        ((), "x/b.xml", "x/b.jpg", 0),
        ((), "x/Annotations/a.xml", "x/JPEGImages/a.jpg", 0),
        (("p/a.png", "q/a.png"), "a.xml", "a", 1),  # nobody can tell which is meant
    ],
)  # fmt: skip
def test_the_picture_is_the_one_with_the_name_of_the_file(files, label, found, faults):
    annotations = read({label: xml(thing()), **dict.fromkeys(files, "")})
    problems = [problem for problem in annotations.problems if "without labels" not in problem.what]
    assert annotations.pictures[0].path == found
    assert len(problems) == faults
    assert all(problem.place.startswith(f"{label}, line ") for problem in problems)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\secret.jpg", "..\\..\\x.jpg", "", "a\u0085.jpg", "."]
)
def test_paths_never_lead_out(name):
    annotations = read({"labels/b.xml": xml(thing(), head=f"<filename>{name}</filename>")})
    path = annotations.pictures[0].path
    assert re.fullmatch(r"labels/[a-z.]+", path)
    assert annotations.problems[0].place == "labels/b.xml, line 2"


@pytest.mark.parametrize(
    ("object_", "fault"),
    [
        ("<object><name>x</name></object>", "no bndbox"),
        (thing(("nan", 1, 2, 2)), "xmin is 'nan'"),
        (thing((1, "1e400", 2, 2)), "ymin is '1e400'"),
        (thing((1, 1, "", 2)), "xmax is ''"),
        (thing((1, "10,5", 20, 20)), "ymin is '10,5'"),
        (thing().replace("<bndbox>", "<bndbox></bndbox><bndbox>"), "2 boxes"),
        (thing().replace("bndbox", "BndBox"), "no bndbox"),
        ("<object><name>x</name><robndbox><cx>1</cx></robndbox></object>", "cy is missing"),
        ("<object><name>x</name><polygon><x1>1</x1><y1>1</y1></polygon></object>", "fewer than three"),
        ("<object><name>x</name><polygon><pt><x>1</x></pt></polygon></object>", "y is missing"),
        ("<object><name>x</name><bndbox><xmin>1</xmin></bndbox></object>", "ymin is missing"),
    ],
)
def test_an_object_without_a_box_is_left_out_by_line(object_, fault):
    annotations = read({"a.xml": xml(thing(), object_, thing((2, 2, 3, 3))), "a.jpg": ""})
    assert len(annotations.pictures[0].annotations) == 2
    (problem,) = annotations.problems
    assert fault in problem.what
    assert problem.place == "a.xml, line 4"
    assert problem.left_out == 1
    assert set(annotations.unread) == {"a.jpg"}  # it is no picture with fewer objects


def shape(inner):
    return f"<object><name>dog</name>{inner}</object>"


def test_a_turned_box_of_rolabelimg_has_the_upright_box_around_it():
    tags = {"cx": 20, "cy": 30, "w": 10, "h": 6, "angle": math.pi / 6}
    inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags.items())
    found = only(read({"a.xml": xml(shape(f"<robndbox>{inner}</robndbox>")), "a.jpg": ""}))
    # as the program draws it (rotatePoint of its Shape): each corner turned by the angle, y downwards
    expected = []
    for dx, dy in ((-5, -3), (5, -3), (5, 3), (-5, 3)):
        point = complex(20, 30) + complex(dx, dy) * cmath.exp(1j * math.pi / 6)
        expected += [point.real, point.imag]
    assert found.polygons[0] == pytest.approx(expected)
    assert found.box_xyxy == pytest.approx(
        (min(expected[0::2]), min(expected[1::2]), max(expected[0::2]), max(expected[1::2]))
    )
    assert found.attributes == {"rotation": pytest.approx(30)}


@pytest.mark.parametrize(
    "points",
    [
        "<x1>1</x1><y1>2</y1><x2>9.5</x2><y2>3</y2><x3>4</x3><y3>8</y3>",
        "<pt><x>1</x><y>2</y></pt><pt><x>9.5</x><y>3</y></pt><pt><x>4</x><y>8</y></pt>",
    ],
)
def test_a_polygon_is_the_outline_and_the_box_is_around_it_if_there_is_none(points):
    polygon = f"<polygon>{points}</polygon>"
    alone = only(read({"a.xml": xml(shape(polygon)), "a.jpg": ""}))
    assert (alone.polygons, alone.box_xyxy) == (((1, 2, 9.5, 3, 4, 8),), (1, 2, 9.5, 8))
    beside = only(read({"a.xml": xml(thing((2, 3, 10, 8), more=polygon)), "a.jpg": ""}))
    assert (beside.polygons, beside.box_xyxy) == (((1, 2, 9.5, 3, 4, 8),), (1, 2, 10, 8))
    assert beside.attributes == {}


def test_a_box_outside_of_objects_leaves_the_picture_out():
    upper = thing().replace("object", "Object")
    assert set(read({"a.xml": xml(upper), "a.jpg": ""}).unread) == {"a.jpg"}


def test_a_deleted_object_is_none():
    annotations = read({"a.xml": xml(thing(more="<deleted>1</deleted>")), "a.jpg": ""})
    assert (annotations.pictures[0].annotations, annotations.unread) == ((), {})
    assert "deleted" in annotations.problems[0].what


@pytest.mark.parametrize(
    ("files", "label", "more", "found"),
    [
        (("vis/a.jpg", "JPEGImages/a.jpg"), "Annotations/a.xml", "", "JPEGImages/a.jpg"),
        (("Annotations/vis/a.jpg", "JPEGImages/a.jpg"), "Annotations/a.xml", "", "JPEGImages/a.jpg"),
        (("vis/a.jpg", "images/a.jpg"), "xml/a.xml", "", "images/a.jpg"),
        (("p/a.jpg", "q/a.jpg"), "a.xml", "<folder>q</folder>", "q/a.jpg"),
        (("p/a.jpg", "q/a.jpg"), "a.xml", "<path>C:\\x\\q\\a.jpg</path>", "q/a.jpg"),
        (("f/c1/a.jpg", "f/c2/a.jpg"), "x/c2/a.xml", "<folder>c1</folder>", "f/c2/a.jpg"),
        (("a.PNG",), "a.xml", "", "a.PNG"),
        (("A.jpg",), "a.xml", "", "A.jpg"),
    ],
)
def test_of_several_pictures_the_one_that_is_surely_meant_is_taken(files, label, more, found):
    head = f"<filename>a</filename>{more}"
    annotations = read({label: xml(thing(), head=head), **dict.fromkeys(files, "")})
    assert [picture.path for picture in annotations.pictures] == [found]
    assert annotations.unread == {}


@pytest.mark.parametrize(
    ("files", "label"),
    [
        (("p/a.jpg", "q/a.jpg"), "a.xml"),
        (("frames/cam1/a.jpg",), "annotations/cam2/a.xml"),
        (("a.jpg", "a.png"), "a.xml"),
        (("JPEGImages/b.jpg", "SegmentationClass/a.png"), "Annotations/a.xml"),
    ],
)
def test_labels_of_no_one_picture_are_left_out(files, label):
    annotations = read({label: xml(thing(), head="<filename>a.gif</filename>"), **dict.fromkeys(files, "")})
    used = annotations.without(annotations.unread).pictures
    assert not [picture for picture in used if picture.path in files]


def test_wrong_boxes_are_kept_as_written():
    assert only(read({"a.xml": xml(thing((50, 7, 3, -9))), "a.jpg": ""})).box_xyxy == (49, 6, 3, -9)


LISTED = {f"Annotations/{name}.xml": xml(thing()) for name in "abcd"}


def test_lists_give_the_splits_and_differences_are_named():
    annotations = read(
        {
            **LISTED,
            "ImageSets/Main/train.txt": "a\nb\n",
            "ImageSets/Main/val.txt": "b\r\n\r\nlost\r\n",
            "ImageSets/Main/trainval.txt": "a\nb\nc 1\nlost\n",
            "ImageSets/Main/dog_train.txt": "d 1\n",
        }
    )
    assert {p.place[-5]: p.split for p in annotations.pictures} == {
        "a": "train", "b": "train", "c": "train", "d": None,
    }  # fmt: skip
    told = {problem.place: problem.what for problem in annotations.problems}
    assert "'b' is also in the list train" in told["ImageSets/Main/val.txt, line 1"]
    assert "the first is 'lost'" in told["ImageSets/Main/val.txt, line 3"]
    assert "the first is 'Annotations/d.xml'" in told["ImageSets/Main"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "place", ["ImageSets/Main/train.txt", "ImageSets/train.txt", "train.txt", "train_list.txt"]
)
@pytest.mark.parametrize(
    "line",
    [
        "{}", "{}.jpg", "{}.xml", "JPEGImages/{}.jpg", "./Annotations/{}.xml", "{} 1", "{}  -1",
        "C:\\x\\{}.JPG", "images/{}.jpg Annotations/{}.xml", "/home/me/VOC/JPEGImages/{}",
    ],
)  # fmt: skip
def test_lists_of_other_programs_give_the_splits_too(line, place, encoding):
    lists = {place: [line.replace("{}", name) for name in "ab"], place.replace("train", "val"): ["c", "d"]}
    texts = {path: "\r\n".join(lines).encode(encoding) for path, lines in lists.items()}
    annotations = read({**LISTED, **texts, "labels.txt": "dog\n", "test.txt": "nothing of this\n"})
    assert [p.split for p in sorted(annotations.pictures, key=lambda p: p.place)] == ["train"] * 2 + [
        "val"
    ] * 2
    assert annotations.problems == ()


def test_lists_name_labels_in_any_folder():
    files = {f"xml/{name}.xml": xml(thing()) for name in ("a", "été")}
    names = unicodedata.normalize("NFD", "été")
    files |= {"ImageSets/Main/train.txt": "a\n", "ImageSets/Main/val.txt": f"{names}\n"}
    assert [p.split for p in read(files).pictures] == ["train", "val"]


def test_lists_count_for_the_folder_above_them():
    files = {f"{year}/Annotations/a.xml": xml(thing()) for year in ("2007", "2012")}
    files |= {"2007/ImageSets/Main/train.txt": "a\n", "2012/ImageSets/Main/test.txt": "a\n"}
    assert [(p.split, p.path[:4]) for p in read(files).pictures] == [("test", "2012"), ("train", "2007")]


def test_without_lists_folders_give_the_splits():
    annotations = read({f"{split}/{split}.xml": xml(thing()) for split in ("train", "valid")})
    assert [p.split for p in annotations.pictures] == ["train", "val"]


def test_a_picture_labelled_twice_counts_once():
    annotations = read({"p/a.jpg": "", "x/a.xml": xml(thing()), "y/a.xml": xml(thing(), thing())})
    assert len(annotations.pictures) == 1
    assert [problem.left_out for problem in annotations.problems] == [2]


def test_pictures_without_a_label_file_are_named():
    (problem,) = read({"a.jpg": "", "a.xml": xml(thing()), "b.jpg": "", "other/c.png": ""}).problems
    assert problem.what.startswith("left out, because without labels: 1 picture")


@pytest.mark.parametrize(
    ("content", "fault", "place"),
    [
        ("", "no element", "line 1"),
        ("<annotation>\n<object>\n</annotation>", "mismatched tag", "line 3"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation>&b;</annotation>', "entities", "line 1"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<annotation/>', "document type", "line 1"),
        ("<annotation>\n&b;</annotation>", "undefined entity", "line 2"),
        ("<annotation>" * 10**5, "nested too deeply", "line 1"),
        (b"<annotation>\n\xff</annotation>", "not UTF-8", "line 2"),
        ("<html/>", "no Pascal VOC files", ""),
        ('<?xml version="1.0" encoding="gb9"?><annotation/>', "gb9 is not known", ""),
    ],
)
def test_what_cannot_be_read_is_an_error_with_file_and_line(content, fault, place):
    with pytest.raises(InputError, match=fault) as error:
        read({"a.xml": content})
    assert error.value.where in (f"data/a.xml, {place}", "data/a.xml")
    assert place in error.value.where


@pytest.mark.parametrize(
    "content", [b"", b"<annotation><object>", bytes(200), b"<annotation>\n\xb9\xb7</annotation>"]
)
def test_a_file_that_cannot_be_read_leaves_out_its_picture_alone(content):
    files = {"JPEGImages/a.jpg": "", "JPEGImages/b.jpg": "", "Annotations/a.xml": content}
    found = voc.read(files_of({**files, "Annotations/b.xml": xml(thing(), head="")}))
    assert [picture.path for picture in found.pictures] == ["JPEGImages/b.jpg"]
    ((path, problem),) = found.unread.items()
    assert path == "JPEGImages/a.jpg"
    assert problem.place.startswith("Annotations/a.xml, line ")
    assert found.problems == (problem,)


def test_fractions_are_no_pixels():
    boxes = xml(thing((0.1, 0.2, 0.5, 0.625)), thing((0, 0, 1, 1)))
    found = voc.read(files_of({"a.jpg": "", "a.xml": boxes, "b.jpg": "", "b.xml": xml(thing())}))
    assert list(found.unread) == ["a.jpg"]


def test_other_xml_is_named():
    annotations = read({"a.xml": xml(thing()), "build.xml": "<!-- <annotation> --><project/>"})
    assert [problem.place for problem in annotations.problems] == ["build.xml, line 1"]


def test_recognizes_its_own_files_only():
    assert voc.recognizes(
        files_of({"a.xml": "<?xml version='1.0'?>\n<!-- <x> --><annotation verified='no'/>"})
    )
    assert not voc.recognizes(files_of({"a.xml": "<annotations/>", "b.json": "{}"}))


def test_read_inverts_write(tmp_path):
    notes = writer.write(VARIED, tmp_path)
    annotations = voc.read(LabelFiles.open(tmp_path))
    for found in (a for p in annotations.pictures for a in p.annotations):
        assert found.attributes.pop("pose") == "Unspecified"
    assert_same_objects(annotations, VARIED)
    assert [p.path for p in annotations.pictures] == writer.picture_paths(VARIED)
    assert [(p.width, p.height) for p in annotations.pictures] == [(200, 100)] * 3
    assert any("fractions" in note for note in notes)


def test_lists_are_written_for_splits_only(tmp_path):
    writer.write(VARIED, tmp_path)
    lists = {path.stem: path.read_text().split() for path in (tmp_path / "ImageSets/Main").iterdir()}
    assert lists == {"train": ["a", "deep-a"], "trainval": ["a", "deep-a"], "test": ["b"]}
    (tmp_path / "unsplit").mkdir()
    writer.write(a_set(picture("a.png")), tmp_path / "unsplit")
    assert [path.name for path in (tmp_path / "unsplit").iterdir()] == ["Annotations"]


def test_whole_pixels_are_written_as_voc_writes_them(tmp_path):
    writer.write(a_set(picture("a.png", box("dog", 0.0, 9.0, 200.0, 100.0))), tmp_path)
    text = (tmp_path / "Annotations/a.xml").read_text()
    assert re.findall(r"<[xy]m..>(.*)<", text) == ["1", "10", "200", "100"]


def test_what_voc_cannot_hold_is_listed_with_counts(tmp_path):
    notes = writer.write(
        a_set(
            picture(
                "a.png",
                outlined("dog", 0.0, 0.0, 5.0, 0.0, 5.0, 5.0),
                box("dog", 0.0, 0.0, 5.0, 5.0, mask=RunLengths(100, 200, (20000,)), attributes={"age": 7}),
                attributes={"weather": "rain"},
            )
        ),
        tmp_path,
    )
    assert [re.sub("Pascal VOC has no place for ", "", note) for note in notes] == [
        "classes without objects (classes: 1)",
        "masks (objects: 1)",
        "outlines, beside the boxes (objects: 1)",
        "the attribute weather of pictures (pictures: 1)",
        "the kind of the attribute age, a number or yes and no: it is text (objects: 1)",
    ]


def test_text_that_xml_cannot_hold_is_written_legally(tmp_path):
    writer.write(
        a_set(picture("a.png", box("dog", 0.0, 0.0, 1.0, 1.0, attributes={"a": "\0\ud800x"}))), tmp_path
    )
    annotations = voc.read(LabelFiles.open(tmp_path))
    assert only(annotations).attributes["a"] == "\ufffd\ufffdx"
