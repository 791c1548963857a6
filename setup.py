"""Finds the packages; everything else stands in setup.cfg. The cards in envs/ are installed as rec_gym.envs."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["rec_gym", "rec_gym.*"]), "rec_gym.envs"])
