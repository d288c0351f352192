"""From a run folder to a model of the zoo, measured; and the zoo, measured again."""

from medenh.publishing.options import PublishOptions
from medenh.publishing.publish import publish

__all__ = ["PublishOptions", "publish"]
