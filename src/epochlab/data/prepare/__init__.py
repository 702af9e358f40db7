"""`epochlab prepare`: from a downloaded folder or zip to train, validation and test folders."""

from epochlab.data.prepare.building import Prepared, prepare

__all__ = ["Prepared", "prepare"]
