"""Text of the XML files that are written: templates, numbers, and what a reader makes of a text."""

from __future__ import annotations

from rondel_detection.data.formats.xml_file import is_writable

ANNOTATION = """\
<annotation>
  <folder>{folder}</folder>
  <filename>{filename}</filename>
  <source>
    <database>Unknown</database>
  </source>
  <size>
    <width>{width}</width>
    <height>{height}</height>
    <depth>3</depth>
  </size>
  <segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\
  <object>
    <name>{name}</name>
    <pose>{pose}</pose>
    <truncated>{truncated}</truncated>
    <difficult>{difficult}</difficult>
    <occluded>{occluded}</occluded>
    <bndbox>
      <xmin>{x1}</xmin>
      <ymin>{y1}</ymin>
      <xmax>{x2}</xmax>
      <ymax>{y2}</ymax>
    </bndbox>
{attributes}  </object>
"""
ATTRIBUTE = """\
      <attribute>
        <name>{name}</name>
        <value>{value}</value>
      </attribute>
"""


def number_text(number: float) -> str:
    """Return a number in full, without a fraction where it has none."""
    return str(int(number)) if number.is_integer() else repr(number)


def as_read(text: str) -> str:
    """Return what a reader makes of a text in an element: white space around it is layout."""
    return "".join(letter if is_writable(letter) else "\ufffd" for letter in text).strip()
