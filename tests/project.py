"""What the project's own files say of it."""

import configparser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def lines(value):
    return [line for line in value.splitlines() if line]


def by_name(requirements):
    return {canonicalize_name(one.name): one.specifier for one in requirements}


def requirements(value):
    return by_name(Requirement(line) for line in lines(value))
