import pytest
from pydantic import ValidationError

from processors.errors import UnknownPreset
from processors.operations import Crop, Fit
from processors.preset import BUILTIN, Preset, PresetName, RenditionSpec, find_builtin


def test_built_in_presets() -> None:
    assert sorted(BUILTIN) == ["archive", "thumbnail", "web"]
    web = find_builtin(PresetName.parse("web"))
    assert web is not None
    assert [each.name for each in web.renditions] == ["320", "1280"]
    assert find_builtin(PresetName("web", 1)) == web
    assert find_builtin(PresetName("nope")) is None


@pytest.mark.parametrize(
    "text", ["", "A", "a b", "../up", "a@0", "a@", "a@1@2", "record", "a" * 64]
)
def test_what_can_be_no_preset_is_named(text: str) -> None:
    with pytest.raises(UnknownPreset) as refused:
        PresetName.parse(text)
    assert (refused.value.code, refused.value.value) == ("unknown_preset", text)


def test_names_with_and_without_a_version() -> None:
    assert PresetName.parse("shop@12") == PresetName("shop", 12)
    assert str(PresetName("shop", 12)) == "shop@12"
    assert PresetName.parse("shop").moves
    assert not PresetName.parse("shop@12").moves
    assert not PresetName.parse("web").moves


def test_a_version_that_a_built_in_preset_has_not_is_unknown() -> None:
    with pytest.raises(UnknownPreset, match="has only version 1"):
        find_builtin(PresetName("web", 2))


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
