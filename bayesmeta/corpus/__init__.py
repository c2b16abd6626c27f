"""Thousands of meta-analyses from one file, in parts that survive interruption."""

from bayesmeta.corpus.recipe import Recipe
from bayesmeta.corpus.results import CorpusResults
from bayesmeta.corpus.run import run_many

__all__ = ["CorpusResults", "Recipe", "run_many"]
