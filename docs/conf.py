"""Sphinx settings of the site. `.ci/site` puts the sources together and builds it, without a network."""
import re

import latex2mathml.converter
from docutils import nodes
from fastcore.docments import docments

import usjepa

project = "usjepa"
author = copyright = "The usjepa authors"
release = usjepa.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
root_doc = "docs/index"
exclude_patterns = ["figures/*.md"]
html_theme = "furo"
html_title = "usjepa"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
nb_execution_mode = "off" # Outputs are those that are tracked
nb_render_markdown_format = "myst" # Tables in outputs too
nb_ipywidgets_js = {} # No script of another server
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
autodoc_typehints = "none" # The list of arguments has them
autodoc_member_order = "bysource"


def render_math(self, node, display):
    "Write a formula as MathML, which browsers draw without a script or a font"
    formula = node.astext()
    display = "block" if display else "inline"
    self.body.append(latex2mathml.converter.convert(formula, display=display))
    raise nodes.SkipNode


def without_markup(text):
    "Words of a comment, safe in reStructuredText"
    parts = re.split(r"(`[^`]+`)", text or "")
    escaped = [part if part.startswith("`") else re.sub(r"([*_|\\])", r"\\\1", part) for part in parts]
    return "".join(f"`{part}`" if part.startswith("`") else part for part in escaped)


def add_comments(app, what, name, thing, options, lines):
    "Add the comments of the arguments to a docstring"
    lines[:] = [without_markup(line) for line in lines]
    if what not in ("function", "method", "class"): return
    try: comments = docments(thing, full=True)
    except (TypeError, ValueError, OSError): return
    for argument, told in comments.items():
        if argument == "self" or not told.docment: continue
        if argument == "return": lines += ["", f":returns: {without_markup(told.docment)}"]
        else: lines += ["", f":param {argument}: {without_markup(told.docment)}"]


def setup(app):
    app.add_html_math_renderer("mathml",
        (lambda self, node: render_math(self, node, False), None),
        (lambda self, node: render_math(self, node, True), None))
    app.connect("autodoc-process-docstring", add_comments)
