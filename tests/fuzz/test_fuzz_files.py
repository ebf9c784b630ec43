"""Files that others may have written: the next life's session, an export of image records, a logging configuration."""

import json
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepool_ng.cli.data import _read
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.daemon.process import PidFile
from nodepool_ng.listing.table import printable
from nodepool_ng.telemetry.logs import FORMAT, BadLoggingConfig, JsonLines, Lines, from_file
from tests.fuzz.inputs import almost, as_bytes, values, words

FUZZ = settings.get_profile("fuzz")
BUILD = f"/nodepool/images/tiny/builds/{'a' * 32}"


@settings(FUZZ)
@given(as_bytes(almost({"id": 7, "password": "00ff"}) | values))
def test_a_session_file_is_used_or_passed_over(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pid.session").write_bytes(data)
        found = PidFile(f"{folder}/pid").previous_session()
        assert found is None or (isinstance(found[0], int) and isinstance(found[1], bytes))


@settings(FUZZ)
@given(as_bytes(almost({BUILD: "{}"}) | values))
def test_an_export_is_read_or_refused_in_a_sentence(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.json")
        path.write_bytes(data)
        said, found = "", {}
        try:
            found = dict(_read(str(path)))
        except Failed as error:
            said = str(error)
        assert said.isprintable()
        assert all(at.startswith("/nodepool/images/") for at in found)


@settings(FUZZ)
@given(st.sampled_from([".yaml", ".json", ".ini"]), as_bytes(st.lists(values)))
def test_a_logging_configuration_that_is_none_is_refused(suffix: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"logging{suffix}")
        path.write_bytes(data)
        with pytest.raises(BadLoggingConfig):
            from_file(str(path))


@settings(FUZZ)
@given(words, st.sampled_from([Lines(), JsonLines()]))
def test_a_log_line_is_one_line_that_does_nothing_to_a_terminal(text: str, form: logging.Formatter) -> None:
    record = logging.LogRecord("nodepool", logging.INFO, "", 0, "said: %s", (text,), None)
    first, *others = form.format(record).split("\n")
    assert first.replace("\t", " ").isprintable()
    assert all(line.startswith("    ") and line.replace("\t", " ").isprintable() for line in others)
    if isinstance(form, JsonLines):
        assert json.loads(first)["message"] == f"said: {text}"
    assert FORMAT.endswith("%(message)s")


@settings(FUZZ)
@given(words)
def test_a_cell_of_a_table_is_printable(text: str) -> None:
    assert printable(text).isprintable()
