"""Check that a preset exists, before `pixlake produce` sends messages with this preset."""

from pixlake.cli.failures import UsageFault
from pixlake.cli.target import ApiOptions, connect

# Time-out of the request to the API. The API may be down, and the run does not need its answer.
_DEADLINE_SECONDS = 3.0
_UNKNOWN = "preset_not_found"


class UnknownPreset(UsageFault):
    """The preset does not exist."""

    code = "unknown_preset"


def check_preset(name: str, *, bootstrap: str | None) -> None:
    """Raise UnknownPreset, with the nearest name, if the API of this Pixlake has no such preset.

    The API is that of PIXLAKE_URL, or of this machine if messages go to this machine's broker.
    Without an answer, or without a valid key, nothing is raised.
    """
    from pixlake.client import ClientError, Refused  # noqa: PLC0415  # slow; not for --help

    api = ApiOptions.of_environment()
    if bootstrap is not None and api.url is None:
        return
    try:
        with connect(api, deadline=_DEADLINE_SECONDS, tell=False) as client:
            client.preset(name)
    except Refused as refused:
        if refused.code == _UNKNOWN:
            raise UnknownPreset(f"--preset: {refused.problem.detail}") from None
    except (ClientError, UsageFault):
        return
