"""Evaluation: policies on a split, the statistics that compare them, and the tables that report them."""

from rec_gym.evaluation.compare import (
    Comparison,
    Difference,
    Interval,
    compare,
    stratified_difference,
    stratified_mean,
    stratum_weights,
)
from rec_gym.evaluation.evaluate import MEASURES, Evaluation, evaluate
from rec_gym.evaluation.report import as_json, make_table, print_report, save_csv, save_json

__all__ = [
    "MEASURES",
    "Comparison",
    "Difference",
    "Evaluation",
    "Interval",
    "as_json",
    "compare",
    "evaluate",
    "make_table",
    "print_report",
    "save_csv",
    "save_json",
    "stratified_difference",
    "stratified_mean",
    "stratum_weights",
]
