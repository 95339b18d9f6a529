"""Fills the `out` sections of the case files beside it with what libxslt writes, by xsltproc.

    python3 make.py [FILE...]

Written with xsltproc of libxslt 1.1.35, libxml2 2.9.14 (Debian 12). A case is

    ##### name
    --- xpath       expressions, a line each; or
    --- top         what stands in xsl:stylesheet; or
    --- xsl         a whole stylesheet
    --- file NAME   a file that it imports
    --- xml         the document; where it is missing that of the case before
    --- out         what libxslt writes: this script's
    --- ours WHY    where ours is something else, and why; by hand
"""
import pathlib
import re
import subprocess
import sys
import tempfile

HEAD = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"'
    ' xmlns:exsl="http://exslt.org/common" xmlns:str="http://exslt.org/strings" xmlns:set="http://exslt.org/sets"'
    ' xmlns:p="urn:p" exclude-result-prefixes="exsl str set p">'
)


def quoted(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def of_expressions(lines):
    body = "".join(
        f'<xsl:text>{quoted(line)} => </xsl:text><xsl:value-of select="{quoted(line)}"/><xsl:text>&#10;</xsl:text>'
        for line in lines.splitlines()
        if line
    )
    return f'{HEAD}<xsl:output method="text"/><xsl:template match="/">{body}</xsl:template></xsl:stylesheet>'


def run(sections, xml):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        for title, text in sections:
            if title.startswith("file "):
                (directory / title[5:]).write_text(text)
            elif title == "xpath":
                (directory / "main.xsl").write_text(of_expressions(text))
            elif title == "top":
                (directory / "main.xsl").write_text(f"{HEAD}{text}</xsl:stylesheet>")
            elif title == "xsl":
                (directory / "main.xsl").write_text(text)
        (directory / "main.xml").write_text(xml)
        done = subprocess.run(["xsltproc", "main.xsl", "main.xml"], cwd=directory, capture_output=True, text=True)
        if done.returncode or done.stderr:
            print(done.returncode, done.stderr.strip()[:500], file=sys.stderr)
        return done.stdout


def main(files):
    here = pathlib.Path(__file__).parent
    for file in files or sorted(here.glob("*.txt")):
        xml, written = "", []
        for case in re.split(r"^##### ", pathlib.Path(file).read_text(), flags=re.M)[1:]:
            name, rest = case.split("\n", 1)
            parts = re.split(r"^--- (.*)\n", rest, flags=re.M)
            sections = [(parts[at], parts[at + 1][:-1]) for at in range(1, len(parts) - 1, 2)]
            for title, text in sections:
                xml = text if title == "xml" else xml
            out = run([(title, text) for title, text in sections], xml)
            kept = [(title, text) for title, text in sections if title != "out"]
            at = next((at for at, (title, _) in enumerate(kept) if title.startswith("ours")), len(kept))
            kept.insert(at, ("out", out))
            print(name, file=sys.stderr) if not out else None
            written.append(f"##### {name}\n" + "".join(f"--- {title}\n{text}\n" for title, text in kept))
        pathlib.Path(file).write_text("".join(written))


main(sys.argv[1:])
