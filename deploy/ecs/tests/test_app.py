"""Values that only the operator knows are refused by the name of the setting."""

import pytest

import app
from infra.settings import Settings


@pytest.mark.parametrize("name", ["small", "large"])
def test_committed_environments_name_what_is_to_be_filled_in(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main([name]) == 2
    said = capsys.readouterr().err
    assert f"{name}.toml: fill in domain.zone_id = Z0000000EXAMPLE" in said
    for setting in ("quicksight.principal_arn", "image_public_key"):
        assert (f"fill in {setting} = " in said) is (name == "large")


def test_filled_in_settings_are_accepted() -> None:
    values = Settings.load("large").model_dump()
    values["domain"]["zone_id"] = "Z111"
    values["image_public_key"] = "-----BEGIN PUBLIC KEY-----"
    values["quicksight"]["principal_arn"] = "arn:aws:quicksight:eu-west-1:1:group/default/analysts"
    assert list(app.unfilled(values)) == []
    values["limits"]["alarm_emails"] = ["ops@corp.test", "EXAMPLE@corp.test"]
    assert list(app.unfilled(values)) == ["limits.alarm_emails[1] = EXAMPLE@corp.test"]
