"""What a file is by its first bytes, whatever its name."""

# The signatures are those of the formats' own specifications.
SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"PK\3\4", "ZIP"),
)
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
SUFFIXES = {
    "JPEG": (".jpeg", ".jpg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WebP": (".webp",),
}
# As many bytes as `recognise_type` looks at.
HEAD_BYTES = 512


def recognise_type(content: bytes) -> str | None:
    """Returns the type of a file by its first 512 bytes, or None if it is none of those known.

    Args:
        content: The file's bytes, or the first 512 of them.
    """
    for signature, name in SIGNATURES:
        if content.startswith(signature):
            return name
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        return "AVIF" if brand in AVIF_BRANDS else "HEIC" if brand in HEIC_BRANDS else "video"
    return _recognise_text(content[:HEAD_BYTES].lstrip().lower())


def fits_suffix(path: str, name: str) -> bool:
    """Tells whether the file at `path` has a suffix of the type `name`."""
    return path.lower().endswith(SUFFIXES.get(name, ()))


def _recognise_text(start: bytes) -> str | None:
    if start.startswith((b"<!doctype html", b"<html")):
        return "web page"
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "SVG"
    return None
