"""Prints the lowest declared versions in setup.cfg as pip constraints: `python .ci/lowest.py > lowest.txt`."""

import configparser
import re
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parents[1] / "setup.cfg", encoding="utf-8")
requirements = [config["options"]["install_requires"], *config["options.extras_require"].values()]
lines = (line.strip() for block in requirements for line in block.splitlines())
bounds = {re.sub(r"\[.*\]", "", line) for line in lines if ">=" in line}  # a constraint cannot have extras
print("\n".join(sorted(line.replace(">=", "==") for line in bounds)))
