"""The formats notelake reads, one file each.

A file here is a format. It says which names it goes by, who reads it, and reads it:

    MEDIA_TYPES = {".pdf": "application/pdf"}   extensions, and the media type each stands for
    PARSER = "pdf/pypdfium2"                    format and library (its version is added), or format and own version
    EXTRA = "pdf"                               the extra of notelake that brings the library; None if it needs none
    def read(content: bytes, path: str) -> Parsed | Container

Adding a format is adding a file: nothing else knows their names. Libraries are imported within functions, so that
looking at the list costs nothing and a file whose library is missing becomes a row of the ledger that names the extra.
"""
