"""Sphinx configuration: MyST pages, maths, and the API pages from docstrings."""

import bayesmeta

project = "bayesmeta"
author = "The bayesmeta developers"
copyright = "2026, The bayesmeta developers"
version = release = bayesmeta.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"bayesmeta {version}"
napoleon_google_docstring = False
autodoc_typehints = "none"
