"""GoogLeNet: torchvision's names -> ours.

torchvision's ``transform_input`` is no part of the network: it turns pictures normalized with ImageNet's
means and deviations into pictures normalized with 0.5 and 0.5, which its published weights were trained
on. Here that is a matter of preprocessing: mean 0.5 and standard deviation 0.5 in each channel.
"""

from striate.models.key_maps.renaming import KeyMap

TORCHVISION: KeyMap = (
    (r"conv1\.conv\.", "stem.0.conv."),
    (r"conv1\.bn\.", "stem.0.norm."),
    (r"conv2\.conv\.", "stem.3.conv."),
    (r"conv2\.bn\.", "stem.3.norm."),
    (r"conv3\.conv\.", "stem.4.conv."),
    (r"conv3\.bn\.", "stem.4.norm."),
    # In our stages 3a, 4a and 5a a pooling comes first. Branches but the first are sequences.
    (r"inception([345]a)\.branch(\d)\.(\d\.)?conv\.", r"stages.inception\1.1.branch\2.\3conv."),
    (r"inception([345]a)\.branch(\d)\.(\d\.)?bn\.", r"stages.inception\1.1.branch\2.\3norm."),
    (r"inception(\w+)\.branch(\d)\.(\d\.)?conv\.", r"stages.inception\1.branch\2.\3conv."),
    (r"inception(\w+)\.branch(\d)\.(\d\.)?bn\.", r"stages.inception\1.branch\2.\3norm."),
    (r"aux(\d)\.conv\.conv\.", r"auxiliary_heads.auxiliary\1.1.conv."),
    (r"aux(\d)\.conv\.bn\.", r"auxiliary_heads.auxiliary\1.1.norm."),
    (r"aux(\d)\.fc1\.", r"auxiliary_heads.auxiliary\1.3."),
    (r"aux(\d)\.fc2\.", r"auxiliary_heads.auxiliary\1.6."),
    (r"fc\.", "head.1."),
)
