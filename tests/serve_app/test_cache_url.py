"""Settings of the cache: impossible URLs are refused, and no error prints a password."""

from pathlib import Path
from traceback import format_exception

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from ingest.settings import IngestSettings
from lake.settings import LakeSettings
from pixlake_server.embedded.settings import EmbeddedSettings
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings


@pytest.mark.parametrize("wrong", ["localhost:6379", "http://cache", "redis://", "rediss:///0"])
def test_an_impossible_url_is_refused_at_the_start(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ValueError, match="PIXLAKE_CACHE_URL") as refused:
        ServeSettings(home=tmp_path, cache_url=SecretStr(wrong))
    assert wrong not in str(refused.value).replace("redis://host:port or rediss://host:port", "")


@pytest.mark.parametrize(
    "wrong",
    [
        "http://default:Secret@cache:6379",
        "redis://default:Secret/er@cache:6379/0",
        "rediss://default:Secret?er@cache:6379",
        "redis://default:Secret#er@cache:6379",
        "redis://1#Secret@cache:6379",
        "redis://Secret?x@cache",
        "redis://Secret?x=1&y@cache:6379",
        "redis://Secret?x=@cache:6379",
        "rediss://Secret/er@cache:6379/0",
        "rediss://Secret/0?er@cache:6379/0",
        "redis://default:Secret@[cache",
    ],
)
def test_the_password_of_a_refused_url_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("PIXLAKE_CACHE_URL", wrong)
    with pytest.raises(ValueError, match="PIXLAKE_CACHE_URL") as refused:
        ServeSettings()
    assert "Secret" not in "".join(format_exception(refused.value))


@pytest.mark.parametrize("rest", ["", "/", "/0", "?ssl_ca_certs=/etc/ca.pem", "/15?a=1&b_c=x-1"])
def test_the_url_of_a_cache_may_have_a_database_and_parameters(tmp_path: Path, rest: str) -> None:
    url = f"rediss://user:a%2Fb%3F%23%40@cache:6379{rest}"
    assert ServeSettings(home=tmp_path, cache_url=SecretStr(url)).cache_url is not None


@pytest.mark.parametrize(
    "kind", [EmbeddedSettings, IngestSettings, LakeSettings, ProcessorSettings, ServeSettings]
)
def test_errors_of_settings_do_not_print_values(kind: type[BaseSettings]) -> None:
    with pytest.raises(ValueError, match="unknown") as refused:
        kind.model_validate({"unknown": "Secret"})
    assert "Secret" not in str(refused.value)
