"""Which random numbers serve what: one stream for each use, so that turning one on leaves the others."""

from enum import IntEnum


class Stream(IntEnum):
    """The stream of ``keyed_random`` of each use; a number, once given, stays."""

    SHIFT = 0
    CROP = 1
    FLIP = 2
    VERTICAL_FLIP = 3
    ROTATE = 4
    RESCALE = 5
    SHEAR = 6
    BRIGHTNESS = 7
    CONTRAST = 8
    LIGHTING = 9
    ERASE = 10  # whether
    ERASE_RECTANGLE = 11
    ERASE_NOISE = 12
    PARTNER = 13  # with which picture one is mixed
    MIX_KIND = 14  # by mixup or by CutMix, where both are on
    MIX_SHARE = 15
    MIX_CENTRE = 16  # of CutMix's box
    TURN = 17  # the order in which the pictures of a class take turns
