"""Zip archives, opened with bounds: a zip bomb is refused before it is unpacked."""

import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass

from bayesmeta.errors import DataError
from bayesmeta.formats.limits import MAX_ARCHIVE, MAX_BYTES, MAX_MEMBERS, MAX_RATIO, check_size

# What zipfile raises on damaged input, by its own tests and by ours.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """The members of a zip file, read one at a time into memory and never to disk.

    Parameters
    ----------
    name
        Of the file, for messages.
    data
        Its bytes.
    sizes
        Member path to its declared unpacked size.
    """

    name: str
    data: bytes
    sizes: dict[str, int]

    def find(self, ending: str) -> str | None:
        """Return the one member whose path ends so, None if there is none.

        Raises
        ------
        DataError
            If there are several.
        """
        found = [path for path in self.sizes if path.endswith(ending) and not path.startswith("__MACOSX/")]
        if len(found) > 1:
            raise DataError(
                f"{self.name} holds {len(found)} files that end in {ending!r}: {', '.join(found[:5])}. "
                "Give an archive with one data package."
            )
        return found[0] if found else None

    def read(self, path: str, limit: int = MAX_BYTES) -> bytes:
        """Return a member's bytes, at most `limit` of them.

        Raises
        ------
        DataError
            If it is damaged or larger than `limit`.
        """
        check_size(f"{self.name}: {path}", self.sizes[path], limit)
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive, archive.open(path) as member:
                content = member.read(limit + 1)
        except _DAMAGE as error:
            raise DataError(
                f"{self.name}: {path!r} cannot be unpacked ({error}). Download or export it again."
            ) from None
        check_size(f"{self.name}: {path}", len(content), limit)
        return content


def is_zip(data: bytes) -> bool:
    """Return whether the bytes start as a zip archive does."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def open_archive(data: bytes, name: str) -> Archive:
    """Return the archive's members after checking their declared sizes.

    Raises
    ------
    DataError
        If the archive is damaged, encrypted, or unpacks to more than a data package would.
    """
    check_size(name, len(data), MAX_ARCHIVE)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except _DAMAGE as error:
        raise DataError(f"{name} is a damaged zip archive ({error}). Download or export it again.") from None
    if len(members) > MAX_MEMBERS:
        raise DataError(f"{name} holds {len(members)} files; a data package has at most {MAX_MEMBERS}: refused.")
    for member in members:
        if member.flag_bits & 0x1:
            raise DataError(f"{name}: {member.filename!r} is encrypted. Save the file without a password.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{name}: {member.filename!r} is packed by a method other than deflate. Pack it again as plain zip."
            )
        if member.file_size > 2**20 and member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise DataError(
                f"{name}: {member.filename!r} unpacks from {member.compress_size:,} to {member.file_size:,} bytes. "
                "No table does: refused as a zip bomb."
            )
    return Archive(name, data, {member.filename: member.file_size for member in members})
