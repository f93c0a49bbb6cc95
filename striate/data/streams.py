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
    SCENE = 18  # how many digits and how much clutter a generated scene has, and its background
    SCENE_DIGITS = 19
    SCENE_CLUTTER = 20
    SCENE_NOISE = 21
    SCENE_SOURCE = 22  # which handwritten digits serve which split
    BOX_CROP = 23  # IoU-aware crop
    EXPAND = 24
    MOSAIC = 25  # whether
    MOSAIC_PARTNERS = 26
    MOSAIC_LAYOUT = 27
    BATCH_SIZE = 28  # of the pictures of a batch, in pixels
    SCENE_WINDOW = 29  # which part of a generated scene a window sees
