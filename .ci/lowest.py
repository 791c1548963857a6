"""Prints the lowest declared versions in setup.cfg as pip constraints: `python .ci/lowest.py > lowest.txt`."""

import configparser
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parents[1] / "setup.cfg", encoding="utf-8")
requirements = [config["options"]["install_requires"], *config["options.extras_require"].values()]
bounds = {line.strip() for block in requirements for line in block.splitlines() if ">=" in line}
print("\n".join(sorted(line.replace(">=", "==") for line in bounds)))
