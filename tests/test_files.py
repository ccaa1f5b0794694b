"""Files are whole or absent, whatever happens while they are written."""

import subprocess
import sys
from pathlib import Path

import pytest

from hot.errors import InputError, StorageError
from hot.files import atomic_path, read_json, read_text, read_yaml, sha256, write_json, write_text


def test_an_error_while_writing_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_while_writing_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "whole")
    code = (
        "import os, signal\nfrom hot.files import atomic_path\n"
        f"with atomic_path({str(path)!r}) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert read_text(path) == "whole"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_clear_message(tmp_path):
    with (
        pytest.raises(StorageError, match="No space left"),
        atomic_path(tmp_path / "x"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_damaged_documents_name_file_and_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n"b": ')
    with pytest.raises(InputError, match=r"a\.json is damaged \(line 2"):
        read_json(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read"):
        read_yaml(path)
    with pytest.raises(InputError, match="check the path"):
        read_text(tmp_path / "none")


def test_the_checksum_is_sha256(tmp_path):
    write_text(tmp_path / "a", "abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_an_impossible_date_is_no_valid_yaml(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text("expires: 2026-02-30\n")
    with pytest.raises(InputError, match=r"tokens\.yaml is not valid YAML: day is out of range"):
        read_yaml(path)
