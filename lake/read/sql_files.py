"""Files of a store that SQL reads: Parquet files, settings and watermark.

pyarrow reads them, because DuckDB would have to download its reader of S3.
"""

from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.fs

from lake import layout
from lake.errors import LakeError, StoreMissing, UnreadableObject
from lake.seal.watermark import parse_watermark
from lake.settings import LakeSettings
from lake.store.store_settings import StoreSettings, parse_store_settings
from lake.tables.tables import SqlTable


class SqlFiles:
    """Files of one store, in a folder or a bucket."""

    def __init__(self, settings: LakeSettings) -> None:
        url = urlsplit(settings.location)
        self.system: pyarrow.fs.FileSystem
        if url.scheme == "file":
            self.system = pyarrow.fs.LocalFileSystem()
            self._root = unquote(url.path)
            self.folder: Path | None = Path(self._root)
        elif url.scheme == "s3":
            secret = settings.s3_secret_access_key
            self.system = pyarrow.fs.S3FileSystem(
                access_key=settings.s3_access_key_id,
                secret_key=secret.get_secret_value() if secret else None,
                region=settings.s3_region,
                endpoint_override=settings.s3_endpoint,
            )
            self._root = "/".join(part for part in (url.netloc, url.path.strip("/")) if part)
            self.folder = None
        else:
            raise LakeError(
                f"SQL reads a folder or a bucket, not {settings.location!r}; set PIXLAKE_STORE_URL "
                "to s3://bucket/prefix or file:///folder"
            )

    def settings(self) -> StoreSettings:
        """Read the settings of the store; raises StoreMissing, LakeError."""
        try:
            with self.system.open_input_stream(self.path(layout.STORE)) as file:
                return parse_store_settings(file.read())
        except FileNotFoundError:
            where = f"{self._root}: it has no {layout.STORE}"
            raise StoreMissing(f"there is no lake at {where}; `pixlake up` creates one") from None
        except OSError as error:
            raise LakeError(f"the store can't be read: {error}") from error

    def path(self, key: str) -> str:
        """Path of a key in the file system."""
        return f"{self._root}/{key}"

    def hours(self, root: str) -> dict[datetime, str]:
        """Patterns of the hours of a table's folder that have files; of a folder store only."""
        found = {}
        for folder in (self.folder or Path()).joinpath(root).glob("dt=*/hour=*"):
            hour = layout.parse_partition(f"{folder.parent.name}/{folder.name}")
            if hour is not None and next(folder.glob("*.parquet"), None) is not None:
                found[hour] = str(folder / "*.parquet")
        return found

    def exist(self, key: str) -> bool:
        """True if a file or a folder exists; raises LakeError."""
        try:
            kind = self.system.get_file_info(self.path(key)).type
        except OSError as error:
            raise LakeError(f"the store can't be read: {error}") from error
        return bool(kind != pyarrow.fs.FileType.NotFound)

    def watermark(self, table: SqlTable) -> datetime | None:
        """Time before which the compacted files have every row; None: do not read them."""
        key = layout.watermark_key(table.folders)
        if not self.exist(key):
            return None
        with self.system.open_input_file(self.path(key)) as file:
            try:
                return parse_watermark(key, file.read()).complete_before
            except UnreadableObject:
                return None  # the compactor writes it anew, and the chains have all rows

    def parquet(self, table: SqlTable, oldest: datetime) -> dict[datetime, list[str]]:
        """Paths of the Parquet files that have a table's rows since `oldest`, by hour.

        An hour before the watermark has the files of its copy, a later hour those of its chains.
        """
        watermark = self.watermark(table) or oldest
        begin = max(oldest, watermark)
        chains = self._parquet_below(table.folders.chains)
        copies = self._parquet_below(table.folders.compacted) if watermark > oldest else {}
        return {
            **{hour: paths for hour, paths in copies.items() if oldest <= hour < begin},
            **{hour: paths for hour, paths in chains.items() if hour >= begin},
        }

    def _parquet_below(self, root: str) -> dict[datetime, list[str]]:
        below = pyarrow.fs.FileSelector(self.path(root), allow_not_found=True, recursive=True)
        found: dict[datetime, list[str]] = {}
        try:
            listed = self.system.get_file_info(below)
        except OSError as error:
            raise LakeError(f"the store can't be read: {error}") from error
        for each in listed:
            folder, _, name = str(each.path).rpartition("/")
            hour = layout.parse_partition("/".join(folder.split("/")[-2:]))
            if hour is not None and name.endswith(".parquet"):
                found.setdefault(hour, []).append(str(each.path))
        return found
