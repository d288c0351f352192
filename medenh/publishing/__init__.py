"""From a run folder to a model of the zoo, with the figures that speak for it."""

from medenh.publishing.options import PublishOptions
from medenh.publishing.publish import publish

__all__ = ["PublishOptions", "publish"]
