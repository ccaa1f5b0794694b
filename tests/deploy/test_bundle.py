import json

import pytest

from hot.deploy import load_bundle
from hot.deploy.bundle import bundle_folder
from hot.errors import InputError, StorageError


def test_a_bundle_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "bundles" / "one"
    with bundle_folder(target) as folder:
        (folder / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    with pytest.raises(KeyboardInterrupt), bundle_folder(target) as folder:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt
    assert (target / "file").read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["one"]


def test_a_bundle_replaces_the_one_before_and_what_a_kill_left_over_goes(tmp_path):
    target = tmp_path / "one"
    (tmp_path / ".one.tmp-killed").mkdir()
    (tmp_path / ".one.tmp-killed" / "model.onnx").write_text("half")
    for text in ("first", "second"):
        with bundle_folder(target) as folder:
            (folder / "file").write_text(text)
    assert (target / "file").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_file_where_the_folder_should_be_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="cannot write the bundle"),
        bundle_folder(tmp_path / "file" / "one"),
    ):
        pass


def test_a_missing_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match="no bundle at"):
        load_bundle(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no Manifest at .*manifest\.json"):
        load_bundle(tmp_path / "empty")


@pytest.mark.parametrize("name", ["model.onnx", "run.py"])
def test_a_changed_file_of_a_bundle_is_named(deployed, name):
    run, deployment = deployed
    path = run.file(deployment.bundle, name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} is damaged or was changed"):
        load_bundle(run.file(deployment.bundle))


def test_a_missing_file_of_a_bundle_is_named(deployed):
    run, deployment = deployed
    run.file(deployment.bundle, "model.onnx").unlink()
    with pytest.raises(InputError, match=r"has no model\.onnx; deploy again"):
        load_bundle(run.file(deployment.bundle))


def test_a_truncated_manifest_is_refused(deployed):
    run, deployment = deployed
    manifest = run.file(deployment.bundle, "manifest.json")
    manifest.write_text(manifest.read_text()[:200])
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        load_bundle(run.file(deployment.bundle))


def test_a_manifest_without_checksums_is_refused(deployed):
    run, deployment = deployed
    manifest = run.file(deployment.bundle, "manifest.json")
    document = json.loads(manifest.read_text())
    document["checksums"] = {}
    manifest.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"no checksum of model\.onnx"):
        load_bundle(run.file(deployment.bundle))
