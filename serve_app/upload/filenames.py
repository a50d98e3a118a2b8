"""File names of clients: parsing from headers, and safe encoding. A name is only a label."""

from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import quote, unquote

from processors.untrusted_text import clean_filename


def decoded(value: bytes) -> str:
    """Decode a header as UTF-8 if that is valid, otherwise as Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def percent_decoded(value: bytes) -> str:
    """Decode percent-encoded UTF-8; clients encode text in this way because headers are ASCII."""
    return unquote(decoded(value), errors="replace")


def from_disposition(value: bytes) -> str | None:
    """Parse the file name of a Content-Disposition header (RFC 6266); None without a name."""
    message = Message()
    message["Content-Disposition"] = decoded(value).replace("\r", " ").replace("\n", " ")
    parameters = message.get_params(failobj=[], header="content-disposition")
    names = [text for name, text in parameters if name.lower() == "filename"]
    # The extended form `filename*`, which the parser returns as a tuple, has precedence.
    names.sort(key=lambda text: isinstance(text, tuple), reverse=True)
    return clean_filename(collapse_rfc2231_value(names[0], errors="replace")) if names else None


def attachment(name: str | None) -> str:
    """Build a Content-Disposition header with the name in plain ASCII and exact (RFC 8187)."""
    if name is None:
        return "attachment"
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in name)
    exact = quote(name, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"
