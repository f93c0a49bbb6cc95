import math
import re

import numpy as np
import pytest
from label_cases import VARIED, a_set, assert_same_objects, box, files_of, outlined, picture

from striate.data.annotations import RunLengths
from striate.data.formats import cvat
from striate.data.label_files import LabelFiles
from striate.data.write import cvat as writer
from striate.errors import InputError

META = """<meta><task><labels>
<label><name>dog</name><attributes>
<attribute><name>age</name><input_type>number</input_type></attribute>
<attribute><name>wet</name><input_type>checkbox</input_type></attribute>
</attributes></label>
<label><name>cat</name><attributes></attributes></label>
</labels></task></meta>"""


def xml(*shapes: str, meta: str = META, image: str = 'name="a.jpg" width="200" height="100"') -> str:
    return (
        f'<annotations>\n<version>1.1</version>{meta}\n<image id="0" {image}>\n'
        + "\n".join(shapes)
        + "</image></annotations>"
    )


def thing(more="", inner="", label="dog"):
    return f'<box label="{label}" xtl="1.5" ytl="2" xbr="30.25" ybr="40" {more}>{inner}</box>'


def read(text, **pictures):
    return cvat.read(files_of({"annotations.xml": text, "images/a.jpg": ""}))


def only(annotations):
    """The one object."""
    ((found,),) = [picture.annotations for picture in annotations.pictures]
    return found


def test_boxes_are_in_pixels_as_they_stand():
    annotations = read(xml(thing('occluded="1" z_order="0" source="manual"')))
    found = only(annotations)
    assert found.box_xyxy == (1.5, 2, 30.25, 40)
    assert found.place == "annotations.xml, line 10"
    assert (found.occluded, found.difficult, found.attributes) == (True, None, {})
    assert annotations.classes == ("dog", "cat")
    assert annotations.pictures[0].path == "images/a.jpg"
    assert (annotations.pictures[0].width, annotations.pictures[0].height) == (200, 100)
    assert annotations.problems == ()


def test_attributes_are_of_the_kind_that_is_declared():
    inner = "".join(
        f'<attribute name="{name}">{value}</attribute>'
        for name, value in {"age": "7", "wet": "true", "note": "1", "is_crowd": "true"}.items()
    )
    found = only(read(xml(thing('source="auto" z_order="3" occluded="0"', inner))))
    assert found.attributes == {"age": 7, "wet": True, "note": "1", "source": "auto", "z_order": "3"}
    assert found.crowd
    assert only(read(xml(thing(inner='<attribute name="age">2.5</attribute>')))).attributes == {"age": 2.5}


def test_polygons_and_ellipses_have_the_box_around_them():
    annotations = read(
        xml(
            '<polygon label="dog" points="1,2;30.5,4;7,50"/>',
            '<ellipse label="dog" cx="50" cy="40" rx="20" ry="10"/>',
            '<ellipse label="dog" cx="50" cy="40" rx="20" ry="10" rotation="90"/>',
        )
    )
    polygon, lying, standing = annotations.pictures[0].annotations
    assert polygon.box_xyxy == (1, 2, 30.5, 50)
    assert polygon.polygons == ((1, 2, 30.5, 4, 7, 50),)
    assert lying.box_xyxy == (30, 30, 70, 50)
    assert lying.attributes == {"shape": "ellipse"}
    assert standing.box_xyxy == pytest.approx((40, 20, 60, 60))


def test_a_turned_box_is_turned_around_its_centre():
    text = '<box label="dog" xtl="0" ytl="0" xbr="20" ybr="10" rotation="{}"/>'
    quarter = only(read(xml(text.format(90))))
    assert quarter.box_xyxy == pytest.approx((5, -5, 15, 15))
    assert quarter.polygons[0] == pytest.approx((15, -5, 15, 15, 5, 15, 5, -5))  # top left goes to top right
    assert quarter.attributes == {"rotation": 90}
    tilted = only(read(xml(text.format(30))))
    width, height = 20 * math.cos(math.pi / 6) + 5, 10 + 10 * math.cos(math.pi / 6)
    assert tilted.box_xyxy == pytest.approx((10 - width / 2, 5 - height / 2, 10 + width / 2, 5 + height / 2))
    assert only(read(xml(text.format(0)))).polygons == ()


def test_tags_are_attributes_of_the_picture():
    tag = '<tag label="night"><attribute name="lamp">on</attribute></tag>'
    annotations = read(xml(tag, image='name="a.jpg" task_id="3"'))
    assert annotations.pictures[0].attributes == {"tag.night": True, "tag.night.lamp": "on", "task_id": "3"}
    assert annotations.pictures[0].annotations == ()


def test_subsets_are_splits():
    image = '<image name="{0}.jpg" subset="{1}"/>'
    images = [image.format(*pair) for pair in (("a", "Train"), ("b", "Validation"), ("c", "holiday"))]
    annotations = cvat.read(files_of({"x.xml": f"<annotations>{''.join(images)}</annotations>"}))
    assert {p.path: p.split for p in annotations.pictures} == {
        "a.jpg": "train",
        "b.jpg": "val",
        "c.jpg": None,
    }
    assert annotations.pictures[0].attributes == {"subset": "holiday"}


def test_of_pictures_with_the_same_name_the_one_in_the_folder_of_the_subset_is_meant():
    images = "".join(
        f'<image name="a.jpg" subset="{subset}">{thing(label=label)}</image>'
        for subset, label in (("Train", "dog"), ("Validation", "cat"))
    )
    names = ("images/Train/a.jpg", "images/Validation/a.jpg")
    files = {"annotations.xml": f"<annotations>{images}</annotations>", **dict.fromkeys(names, "")}
    found = cvat.read(files_of(files))
    assert [(picture.path, picture.split) for picture in found.pictures] == [
        ("images/Train/a.jpg", "train"),
        ("images/Validation/a.jpg", "val"),
    ]
    assert [picture.annotations[0].label for picture in found.pictures] == ["dog", "cat"]
    assert found.problems == ()


def test_fractions_are_no_pixels():
    shape = '<box label="dog" xtl="0.1" ytl="0.2" xbr="0.5" ybr="1.0"/>'
    assert list(read(xml(shape)).unread) == ["images/a.jpg"]
    assert not read(xml(shape, thing())).unread


@pytest.mark.parametrize(
    ("shape", "fault", "left_out"),
    [
        ('<polyline label="dog" points="1,2;3,4"/>', "a polyline is no box", 1),
        ('<mask label="dog" rle="1,2"/>', "left is missing", 1),
        ('<thing label="dog"/>', "'thing' is no shape", 1),
        ('<box label="dog" xtl="1"/>', "ytl is missing", 1),
        ('<box label="dog" xtl="x" ytl="1" xbr="1" ybr="1"/>', "xtl is 'x', no number", 1),
        ('<box label="dog" xtl="0" ytl="1" xbr="1" ybr="1" rotation="NaN"/>', "rotation is 'NaN'", 1),
        ('<polygon label="dog" points="1,2;3,4"/>', "fewer than three", 1),
        ('<polygon label="dog" points="1,2;3,4;5"/>', "the point '5'", 1),
        (thing(label="elk"), "'elk' is not among", 0),
        (thing('occluded="perhaps"'), "occluded is 'perhaps'", 0),
        (thing(inner="<attribute>7</attribute>"), "the attribute has no name", 0),
    ],
)
def test_faults_of_a_shape_are_named_by_line(shape, fault, left_out):
    annotations = read(xml(thing(), shape, thing()))
    (problem,) = annotations.problems
    assert fault in problem.what
    assert problem.place == "annotations.xml, line 11"
    assert problem.left_out == left_out
    assert len(annotations.pictures[0].annotations) == 3 - left_out
    assert set(annotations.unread) == ({"images/a.jpg"} if left_out and "polyline" not in shape else set())


@pytest.mark.parametrize("shape", ["polyline", "points", "cuboid", "skeleton"])
def test_a_picture_with_nothing_but_other_shapes_is_left_out(shape):
    annotations = read(xml(f'<{shape} label="dog" points="1,2;3,4"/>', "<tag label='night'/>"))
    assert set(annotations.unread) == {"images/a.jpg"}
    assert read(xml()).unread == {}  # without shapes it is known to have none


@pytest.mark.parametrize(
    ("rle", "box"),
    [
        ("0, 12", (5, 7, 9, 10)),
        ("1, 2, 2, 2, 5", (6, 7, 8, 9)),
        ("5, 1, 6", (6, 8, 7, 9)),
        ("2, 4, 6", (5, 7, 9, 9)),
    ],
)
def test_a_mask_has_the_box_around_its_pixels(rle, box):
    found = only(read(xml(f'<mask label="dog" rle="{rle}" left="5" top="7" width="4" height="3"/>')))
    runs = [int(text) for text in rle.split(",")]
    pixels = np.repeat(np.arange(len(runs)) % 2, runs).reshape(3, 4)  # row by row
    ys, xs = pixels.nonzero()
    assert found.box_xyxy == box == (xs.min() + 5, ys.min() + 7, xs.max() + 6, ys.max() + 8)
    assert found.attributes == {"shape": "mask"}


@pytest.mark.parametrize("rle", ["", "12", "0, 11", "0, 13", "a", "0, -12", "12, 0"])
def test_a_mask_that_is_none_leaves_the_picture_out(rle):
    annotations = read(xml(f'<mask label="dog" rle="{rle}" left="5" top="7" width="4" height="3"/>'))
    assert set(annotations.unread) == {"images/a.jpg"}


@pytest.mark.parametrize("name", ["frame_000000", "FRAME_000000", "images/frame_000000"])
def test_a_frame_without_suffix_is_the_picture_of_this_name(name):
    text = xml(thing(), image=f'name="{name}"')
    annotations = cvat.read(files_of({"annotations.xml": text, "images/frame_000000.PNG": ""}))
    assert [picture.path for picture in annotations.pictures] == ["images/frame_000000.PNG"]
    assert annotations.unread == {}


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\a\\passwd", "..\\passwd"])
def test_paths_never_lead_out(name):
    annotations = read(xml(thing(), image=f'name="{name}"'))
    assert annotations.pictures[0].path == "passwd"
    assert "leads out" in annotations.problems[0].what


def test_a_picture_without_a_usable_name_is_left_out_with_its_objects():
    text = xml(thing(), thing(), image='name=".."').replace(
        "</annotations>", '<image name="a.jpg"/></annotations>'
    )
    annotations = read(text)
    assert [p.path for p in annotations.pictures] == ["images/a.jpg"]
    assert [(p.place, p.left_out) for p in annotations.problems] == [("annotations.xml, line 9", 2)]


@pytest.mark.parametrize(
    ("text", "fault", "place"),
    [
        ("<annotations>\n<track/></annotations>", "tracks of a video", "line 2"),
        ("<annotations>\n<image>", "no element", "line 2"),
        ("<annotations/>", "no pictures", ""),
        ("<!DOCTYPE x>\n<annotations/>", "document type", "line 1"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_file_and_line(text, fault, place):
    with pytest.raises(InputError, match=fault) as error:
        read(text)
    assert place in error.value.where


def test_recognizes_its_own_files_only():
    assert cvat.recognizes(files_of({"a.xml": xml()}))
    assert not cvat.recognizes(files_of({"a.xml": "<annotation/>", "b.json": "{}"}))


def test_read_inverts_write(tmp_path):
    assert writer.write(VARIED, tmp_path) == []
    annotations = cvat.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, VARIED)
    assert annotations.problems == ()
    assert annotations.classes == VARIED.classes
    assert [f"images/{p.path}" for p in annotations.pictures] == writer.picture_paths(VARIED)
    assert [(p.width, p.height) for p in annotations.pictures] == [(200, 100)] * 3


def test_outlines_turned_boxes_tags_and_kinds_come_back(tmp_path):
    corners = (15.0, -5.0, 15.0, 15.0, 5.0, 15.0, 5.0, -5.0)
    attributes = {"n": 7, "x": 2.5, "wet": True, "t": "7", "source": "auto", "mixed": 3}
    written = a_set(
        picture(
            "a.png",
            outlined("dog", 0.25, 0.0, 5.0, 0.0, 5.0, 5.125, occluded=False),
            outlined("dog", *corners, attributes={"rotation": 90.0}),
            box("dog", 0.0, 0.0, 5.0, 5.0, attributes=attributes),
            attributes={"tag.night": True, "tag.night.lamp": "on"},
        )
    )
    assert writer.write(written, tmp_path) == []
    annotations = cvat.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, written)
    assert annotations.pictures[0].attributes == written.pictures[0].attributes
    polygon, turned, _ = annotations.pictures[0].annotations
    assert polygon.polygons == written.pictures[0].annotations[0].polygons
    assert turned.polygons[0] == pytest.approx(corners)


def test_what_cvat_cannot_hold_is_listed_with_counts(tmp_path):
    triangle = (0.0, 0.0, 5.0, 0.0, 5.0, 5.0)
    written = a_set(
        picture(
            "a.png",
            box("dog", 0.0, 0.0, 9.0, 9.0, polygons=(triangle,)),  # not the box around it
            box("dog", 0.0, 0.0, 5.0, 5.0, polygons=(triangle, triangle)),
            box("dog", 0.0, 0.0, 5.0, 5.0, mask=RunLengths(100, 200, (20000,))),
            attributes={"weather": "rain", "tag.off": False},
        )
    )
    notes = writer.write(written, tmp_path)
    assert [re.sub("CVAT has no place for ", "", note) for note in notes] == [
        "masks (objects: 1)",
        "outlines, beside the boxes (objects: 2)",
        "the attribute tag.off of pictures (pictures: 1)",
        "the attribute weather of pictures (pictures: 1)",
    ]
    assert_same_objects(cvat.read(LabelFiles.open(tmp_path)), written)
