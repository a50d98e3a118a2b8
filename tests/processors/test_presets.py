import pytest
from pydantic import ValidationError

from processors.errors import UnknownPreset
from processors.operations import Crop, Fit
from processors.preset import BUILTIN, Preset, RenditionSpec, find_preset


def test_built_in_presets() -> None:
    assert sorted(BUILTIN) == ["archive", "thumbnail", "web"]
    assert [each.name for each in find_preset("web").renditions] == ["320", "1280"]
    assert find_preset("archive").renditions == ()


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UnknownPreset) as refused:
        find_preset("nope")
    assert (refused.value.code, refused.value.value) == ("unknown_preset", "nope")


def test_presets_survive_json() -> None:
    mine = Preset(
        name="mine",
        version=3,
        renditions=(
            RenditionSpec(
                name="thumb",
                operations=(Crop(width=10, height=10, gravity="top"), Fit(width=5)),
                format="avif",
                quality=40,
            ),
        ),
    )
    for preset in (mine, *BUILTIN.values()):
        assert Preset.model_validate_json(preset.model_dump_json()) == preset
        assert hash(preset) == hash(preset.model_copy())


@pytest.mark.parametrize("name", ["", "original", "record", "../up", "A", "a" * 64, "a/b"])
def test_names_that_would_break_object_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        RenditionSpec(name=name)


def test_two_renditions_of_one_name_are_refused() -> None:
    twice = (RenditionSpec(name="a"), RenditionSpec(name="a"))
    with pytest.raises(ValidationError):
        Preset(name="x", version=1, renditions=twice)
