"""Enhance one image or a thousand: plan, run, check, and remember what is done."""
