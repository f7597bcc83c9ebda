"""Sources: files of gateways, help desks and feedback tools, read into the incident's tables."""

from incident_kit.sources.formats import Format
from incident_kit.sources.loading import formats, load
from incident_kit.sources.report import Answer, FileLoad, LoadReport
from incident_kit.sources.verdict import answers

__all__ = ["Answer", "FileLoad", "Format", "LoadReport", "answers", "formats", "load"]
