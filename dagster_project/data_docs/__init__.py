"""Data Docs: what was judged, as a folder of pages that opens without the internet.

`facts` reads what is served and the suites, `charts` draws figures, `site` writes the pages. Great Expectations' own
pages take their styles and scripts from other hosts, so these are written by Jinja's templates in `templates/`: no
script, no font, no address that leaves the folder. Never a text out of a note: keys, counts, figures and the words of
the rules.
"""
