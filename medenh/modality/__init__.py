"""What kind of medical picture a picture looks like, where nothing else tells."""

from medenh.modality.recognise import OTHER, Likeness, recognise

__all__ = ["OTHER", "Likeness", "recognise"]
