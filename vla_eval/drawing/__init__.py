"""The drawing kit: sheets of SVG, page templates, numbers in words."""
