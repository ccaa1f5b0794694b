"""The chain, written once: every stage of one run folder, and all of them in a row."""

from hot.pipeline.assess import assess
from hot.pipeline.chain import deploy_all, measure, run, train
from hot.pipeline.luts import check_file, default_store, make_lut, open_lut, space_of, tell_origin
from hot.pipeline.search import search, search_once
from hot.pipeline.stage import load_data, start

__all__ = [
    "assess",
    "check_file",
    "default_store",
    "deploy_all",
    "load_data",
    "make_lut",
    "measure",
    "open_lut",
    "run",
    "search",
    "search_once",
    "space_of",
    "start",
    "tell_origin",
    "train",
]
