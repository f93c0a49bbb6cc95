"""VGG: torchvision's names -> ours."""

from striate.models.key_maps.renaming import KeyMap


def torchvision(depths: tuple[int, ...], batch_norm: bool) -> KeyMap:
    """torchvision numbers all layers in a row, we begin anew in each stage.

    Args:
        depths: convolutions in each stage, as on VGG's page.
        batch_norm: whether each is followed by batch normalization.
    """
    layers_of_convolution = 3 if batch_norm else 2
    ours = [
        f"stages.stage{stage}.{layer}."
        for stage, depth in enumerate(depths, start=1)
        for layer in range(depth * layers_of_convolution + 1)  # and the pooling
    ]
    numbered = [(rf"features\.{number}\.", name) for number, name in enumerate(ours)]
    return (*numbered, (r"classifier\.", "head."))
